"""The sentences of the history and of the comparison, in Chinese and English: a part of the table of `web.texts`."""

from __future__ import annotations

# key: (Chinese, English), as in `web.texts`.
TEXTS: dict[str, tuple[str, str]] = {
    # The strip
    "history": ("历史", "History"),
    "history_open": ("打开：{what}", "Open: {what}"),
    "history_pick": ("选来对比：{what}", "Pick to compare: {what}"),
    "history_delete": ("删除：{what}", "Delete: {what}"),
    "history_sure": ("删除？", "Delete?"),
    "history_deleted": ("已删除", "Deleted"),
    "badge_queued": ("排队中", "queued"),
    "badge_running": ("生成中", "running"),
    "badge_finishing": ("生成中", "running"),
    "badge_cancelled": ("未完成", "partial"),
    "badge_failed": ("失败", "failed"),
    "badge_interrupted": ("已中断", "interrupted"),
    # What can be done with the video on the screen
    "again": ("换个种子再来", "Again with another seed"),
    "continue_end": ("继续生成完", "Continue to the end"),
    "continue_more": ("续写", "Continue"),
    "continue_seconds": ("续写的秒数", "Seconds to add"),
    "continue_by": ("+{n} 秒", "+{n} s"),
    "poster": ("封面", "Poster"),
    "use_settings": ("沿用设置和种子", "Use its settings and seed"),
    "first_new": ("首个新帧", "First new frame"),
    "state_interrupted": (
        "服务器中途停止，已生成的部分仍可播放、下载，也可继续生成",
        "Interrupted by a stop of the server; what was made plays, downloads and can be continued",
    ),
    "empty_interrupted": ("服务器在开始生成前停止", "The server stopped before anything was made"),
    # Files dropped on the page
    "drop_here": ("松开以载入设置（JSON 或 MP4）", "Drop to load its settings (JSON or MP4)"),
    "drop_other": ("只能载入 JSON 或 MP4", "Only JSON and MP4 can be loaded"),
    # Comparison
    "compare": ("对比", "Compare"),
    "compare_hint": ("勾选两段视频来对比", "Tick two videos to compare them"),
    "compare_title": ("对比两段视频", "Two videos side by side"),
    "compare_play": ("播放", "Play"),
    "compare_pause": ("暂停", "Pause"),
    "compare_position": ("位置", "Position"),
    "compare_setting": ("设置", "Setting"),
    "compare_same": ("设置完全相同", "All settings are the same"),
    "compare_default": ("模型推荐", "the model's own"),
    "compare_none": ("无", "none"),
    "compare_length": ("时长", "Length"),
    "compare_changes": ("中途改词", "Prompt changes"),
}
