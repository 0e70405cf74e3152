"""Every sentence of the page, in Chinese and English.

Owns the wording and nothing else: no layout, no Gradio component, no choice of language. The same table feeds Gradio's
own labels (`i18n`) and the page's scripts (`catalogue`), so that one thing never has two names.
"""

from __future__ import annotations

from typing import Literal

import gradio as gr
from gradio.i18n import I18nData

from web.texts_history import TEXTS as _HISTORY
from web.texts_machine import TEXTS as _MACHINE
from web.texts_studio import TEXTS as _STUDIO

Language = Literal["zh", "en"]

# key: (Chinese, English). Keys carry no dots: the front end would read them as paths.
_TEXTS: dict[str, tuple[str, str]] = {
    # Page
    "title": ("WAN 2.2 · 边生成边播放", "WAN 2.2 · watch it being made"),
    "brand": ("WAN 2.2 文生视频", "WAN 2.2 text to video"),
    "tagline": ("写一句话，看它一帧一帧成片", "Write a line, watch it become a film"),
    "switch_language": ("English", "中文"),
    "switch_language_tip": ("Switch to English", "切换到中文"),
    "switch_theme": ("切换深色 / 浅色", "Switch dark / light"),
    # Prompt and style
    "prompt": ("提示词", "Prompt"),
    "prompt_placeholder": (
        "主体 + 场景 + 光线 + 风格 + 画质；权重写作 (关键词:1.3)",
        "subject + scene + light + style + quality; weights as (word:1.3)",
    ),
    "prompt_tip": (
        "中文或英文均可，最多 2000 字。(关键词:1.3) 加强，(关键词:0.8) 减弱。Ctrl+Enter 直接生成。",
        "Chinese or English, up to 2000 characters. (word:1.3) stresses, (word:0.8) softens. Ctrl+Enter generates.",
    ),
    "examples": ("示例", "Examples"),
    "negative_prompt": ("反向提示词", "Negative prompt"),
    "negative_placeholder": ("不希望出现的内容", "what should not appear"),
    "negative_tip": (
        "只有 cfg_scale 大于 1 时才起作用；所选风格会再加上自己的反向词。",
        "Only takes effect when cfg_scale is above 1; the chosen style adds its own words.",
    ),
    "style": ("风格", "Style"),
    "style_tip": (
        "风格会在提示词里加入自己的词；按 i 查看最终提示词。",
        "A style adds its words; press i for the final prompt.",
    ),
    "reveal": ("i", "i"),
    "reveal_tip": ("查看最终发送的提示词", "Show the exact prompt that will be sent"),
    "final_prompt": ("最终提示词", "Final prompt"),
    "final_negative": ("最终反向提示词", "Final negative prompt"),
    "final_empty": ("（空）", "(empty)"),
    "suits": ("适合", "Suits"),
    "looks": ("画面", "Looks"),
    "phrase": ("推荐短语", "Phrase"),
    "add_phrase": ("加入提示词", "Add to the prompt"),
    # Settings
    "preset": ("预设", "Preset"),
    "preset_tip": (
        "选中即载入。“保存”把当前设置存成 JSON；“载入”读回 JSON，或本应用生成的 MP4。",
        "Loads when chosen. Save keeps the present settings as JSON; Load reads such a JSON or an MP4 made here.",
    ),
    "preset_save": ("保存", "Save"),
    "preset_load": ("载入…", "Load…"),
    "preset_loaded": ("已载入设置", "Settings loaded"),
    "preset_saved": ("预设已保存", "Preset saved"),
    "size": ("分辨率", "Resolution"),
    "seconds": ("时长（秒）", "Seconds"),
    "fps": ("帧率", "fps"),
    "advanced": ("高级设置", "Advanced"),
    "auto": ("cfg 与步数用模型推荐值", "Use the model's own cfg and steps"),
    "auto_tip": (
        "少步蒸馏模型通常不需要引导；取消勾选后使用下面两个滑块。",
        "Few-step models usually want no guidance; clear this to use the two sliders below.",
    ),
    "auto_note": ("cfg {guidance}，{steps} 步", "cfg {guidance}, {steps} steps"),
    "guidance_scale": ("cfg_scale · 引导强度", "cfg_scale · guidance"),
    "guidance_tip": (
        "越高越贴近提示词（自带引导的少步模型：更锐利、动作更大），也越慢。建议 5–9；超过 12 容易过饱和、失真。",
        "Higher follows the prompt more closely (few-step models with guidance of their own: crisper, livelier) "
        "and is slower. 5–9 advised; above 12 colours burn and shapes break.",
    ),
    "guidance_high": (
        "cfg_scale 超过 12，画面可能过饱和、失真。",
        "cfg_scale above 12: colours may burn and shapes break.",
    ),
    "denoise_strength": ("denoise_strength · 去噪强度", "denoise_strength"),
    "denoise_tip": (
        "越低越平滑、段间变化越小；越高变化越大，可能跳变。运动场景 0.6–0.7，静态场景 0.8–0.9。",
        "Lower is smoother and changes less between segments; higher changes more and may jump. "
        "0.6–0.7 for moving scenes, 0.8–0.9 for still ones.",
    ),
    "steps": ("步数", "Steps"),
    "steps_tip": ("每一段的去噪步数；越多越慢。", "Denoising steps for each segment; more is slower."),
    "seed": ("种子", "Seed"),
    "seed_tip": (
        "−1 为随机，生成后会显示实际种子；“固定”填入屏幕上这段视频的种子，再次生成得到同一段视频。",
        "−1 is random and shown afterwards; Fixed takes the seed of the video on the screen, which gives it again.",
    ),
    "seed_random": ("随机", "Random"),
    "seed_last": ("固定", "Fixed"),
    "batch_size": ("数量", "Batch size"),
    "batch_tip": (
        "一次生成几段，种子依次加一，逐段排队。",
        "How many clips, with consecutive seeds, one after the other.",
    ),
    "streaming": ("边生成边播放 · Enable Streaming", "Enable Streaming"),
    "streaming_tip": (
        "开：第一帧一出来就播放；关：全部生成完再播放。",
        "On: plays from the first frame as it is made. Off: plays when the whole file is done.",
    ),
    # Actions
    "generate": ("生成", "Generate"),
    "generate_tip": ("Ctrl+Enter", "Ctrl+Enter"),
    "cancel": ("取消", "Cancel"),
    "download_partial": ("下载已生成部分 MP4", "Download Partial MP4"),
    "download": ("下载 MP4", "Download MP4"),
    "copy_link": ("复制链接", "Copy link"),
    "copied": ("已复制", "Copied"),
    # Status bar and readiness
    "trt_on": ("TRT：ON", "TRT: ON"),
    "trt_off": ("TRT：OFF", "TRT: OFF"),
    "encoder": ("编码器", "Encoder"),
    "model": ("模型", "Model"),
    "backend": ("后端", "Backend"),
    "queue": ("队列", "Queue"),
    "queue_empty": ("空闲", "idle"),
    "ready": ("就绪 Ready", "Ready"),
    "not_reachable": ("连不上服务器，正在重试", "The server does not answer, trying again"),
    # Player
    "player": ("播放器", "Player"),
    "idle_title": ("写一句话，按“生成”", "Write a line and press Generate"),
    "idle_text": (
        "第一帧约一秒后出现，其余边生成边播放",
        "The first frame comes in about a second, the rest plays as it is made",
    ),
    "state_waiting_model": ("模型就绪后自动开始", "Starts as soon as the model is ready"),
    "state_queued": ("排队中，前面还有 {n} 个", "Queued, {n} ahead"),
    "state_running": ("生成中", "Generating"),
    "state_finishing": ("正在收尾", "Finishing"),
    "state_done": ("完成", "Done"),
    "state_cancelled": ("已取消，已生成的部分仍可播放和下载", "Cancelled; what was made still plays and downloads"),
    "state_failed": ("生成失败，已生成的部分仍可播放和下载", "Failed; what was made still plays and downloads"),
    "empty_cancelled": ("已取消", "Cancelled"),
    "empty_failed": ("生成失败", "Failed"),
    "reconnecting": ("连接中断，正在续传", "Connection lost, resuming"),
    "unknown_job": ("这个任务已不在服务器上", "The server no longer has this job"),
    "unsupported": (
        "这个浏览器不能边下边播，生成完后播放整段。",
        "This browser cannot play while it is made; the whole video plays at the end.",
    ),
    "clip": ("第 {n} 段", "Clip {n}"),
    # Performance line
    "first_frame": ("首帧", "First frame"),
    "painted": ("上屏", "On screen"),
    "speed": ("生成", "Speed"),
    "playback": ("播放 {fps} fps × {rate}", "plays {fps} fps × {rate}"),
    "block": ("段", "Segment"),
    "step": ("步", "Step"),
    "frames": ("帧", "Frames"),
    "eta": ("剩余", "Left"),
    "seed_used": ("种子", "Seed"),
    "memory_gpu": ("显存（NVML）", "GPU memory (NVML)"),
    "memory_process": ("进程内存（psutil）", "Process memory (psutil)"),
    "memory_peak": ("峰值", "peak"),
    "debug": ("调试", "Debug"),
    "event_log": ("事件日志", "Event log"),
    # Errors
    "error": ("出错了", "Something is wrong"),
    "error_submit": (
        "提交失败：服务器没有应答，请再按一次“生成”。",
        "Not sent: the server did not answer. Press Generate again.",
    ),
    "error_login": ("需要登录，请刷新页面。", "Please log in: reload the page."),
    "error_play": ("浏览器不能播放这段视频：{reason}", "The browser cannot play this video: {reason}"),
    "close": ("关闭", "Close"),
    **_STUDIO,
    **_HISTORY,
    **_MACHINE,
}


def text(key: str, language: Language) -> str:
    """One sentence of the page.

    Raises:
        KeyError: for a key that is not in the table.
    """
    return _TEXTS[key][0 if language == "zh" else 1]


def catalogue() -> dict[str, dict[str, str]]:
    """The whole table for the page's scripts: `{"zh": {key: sentence}, "en": {…}}`."""
    return {
        "zh": {key: zh for key, (zh, _) in _TEXTS.items()},
        "en": {key: en for key, (_, en) in _TEXTS.items()},
    }


def i18n() -> gr.I18n:
    """The same table for Gradio's own labels; keys carry the prefix `wan_`."""
    tables = {
        language: {f"wan_{key}": sentence for key, sentence in table.items()} for language, table in catalogue().items()
    }
    # Gradio looks the browser's full tag up first, then its own default, English.
    return gr.I18n(**{"en": tables["en"], "zh": tables["zh"], "zh-CN": tables["zh"], "zh-TW": tables["zh"]})


def label(key: str) -> I18nData:
    """A sentence for a Gradio component, chosen by the browser's language.

    Raises:
        KeyError: for a key that is not in the table.
    """
    if key not in _TEXTS:
        raise KeyError(key)
    return I18nData(f"wan_{key}")
