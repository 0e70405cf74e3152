"""The sentences of the prompt studio, in Chinese and English: a part of the table of `web.texts`, which reads it."""

from __future__ import annotations

# key: (Chinese, English), as in `web.texts`.
TEXTS: dict[str, tuple[str, str]] = {
    # Parts of a prompt
    "coach": ("提示词助手", "Prompt coach"),
    "part_subject": ("主体", "Subject"),
    "part_scene": ("场景", "Scene"),
    "part_light": ("光影", "Light"),
    "part_style": ("风格", "Style"),
    "part_quality": ("画质", "Quality"),
    "part_found": ("{part}：{words}，在提示词中选中", "{part}: {words}, select it in the prompt"),
    "part_missing": ("补上{part}：{words}", "Add {part}: {words}"),
    "part_by_style": ("风格自带", "from the style"),
    "order": (
        "推荐顺序：主体、场景、光影、风格、画质",
        "Recommended order: subject, scene, light, style, quality",
    ),
    # Findings
    "advice_none": ("没有建议", "No advice"),
    "advice_some": ("{n} 条建议", "{n} to improve"),
    "advice_more": ("还有 {n} 条，改好前面的就会出现", "{n} more, shown as these are mended"),
    "fix_reduce": ("删减", "Reduce"),
    "fix_replace": ("替换", "Replace"),
    "fix_weight": ("加权", "Weight"),
    "fix_add": ("补上", "Add"),
    "locate": ("在提示词中选中", "Select it in the prompt"),
    "undo": ("撤销", "Undo"),
    "undo_tip": ("撤销上一次一键修改（Ctrl+Z）", "Take the last one-click change back (Ctrl+Z)"),
    "undone": ("已撤销", "Taken back"),
    # Tokens
    "tokens": ("{num} / {max} 词元", "{num} / {max} tokens"),
    "tokens_over": (
        "超出编码器上限：{num} / {max} 词元，末尾会被截断，按 i 查看",
        "Over the encoder's limit: {num} / {max} tokens, the end is cut; press i to see it",
    ),
    "tokens_unknown": ("模型载入后显示词元数", "Tokens are counted once the model is loaded"),
    "tokens_cut": ("划掉的部分超出上限，模型读不到", "What is struck through is over the limit and never read"),
    # The final prompt
    "fusion": ("融合", "Fusion"),
    "fusion_weight": ("风格词 ×{weight}", "style words ×{weight}"),
    "fusion_emphasis": ("只作用于：{words}", "only on: {words}"),
    # Gallery and styles
    "examples_all": ("全部", "All"),
    "examples_fewer": ("收起", "Fewer"),
    "style_cards": ("风格图例：同一主体", "The same subject in every style"),
    "styles_load": ("载入风格文件…", "Load a style file…"),
    "styles_load_tip": (
        "SDXL Prompt Styler 格式的 JSON；只在这个浏览器里显示",
        "JSON in the SDXL Prompt Styler format; shown in this browser only",
    ),
    "styles_loaded": ("已载入 {n} 个风格", "{n} styles loaded"),
    "styles_forget": ("移除载入的风格", "Remove the loaded styles"),
    "styles_too_large": ("文件超过 512 KB", "The file is over 512 KB"),
}
