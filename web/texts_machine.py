"""The sentences of machine, forecast and alarm, in Chinese and English: a part of the table of `web.texts`."""

from __future__ import annotations

# key: (Chinese, English), as in `web.texts`.
TEXTS: dict[str, tuple[str, str]] = {
    # Checklist
    "machine": ("系统检查", "System check"),
    "machine_tip": ("驱动、TensorRT、编码器、模型、磁盘", "Driver, TensorRT, encoder, model, disk"),
    "machine_title": ("系统检查", "System check"),
    "machine_hint": ("不影响使用；随时可从右上角再打开", "Nothing here blocks; open it again from the bar at any time"),
    "check_driver": ("显卡驱动", "GPU driver"),
    "check_tensorrt": ("TensorRT", "TensorRT"),
    "check_encoder": ("视频编码器", "Video encoder"),
    "check_model": ("模型", "Model"),
    "check_disk": ("磁盘", "Disk"),
    "check_level_ok": ("正常", "in order"),
    "check_level_note": ("可改进", "could be better"),
    "check_level_fault": ("有问题", "does not work"),
    "check_level_busy": ("进行中", "under way"),
    "engines_rebuild": ("重建引擎", "Rebuild engines"),
    "engines_rebuild_tip": (
        "删除缓存的引擎并重新构建，再载入模型",
        "Deletes the cached engines, builds them anew and loads the model again",
    ),
    "engines_building": ("正在构建引擎", "Building the engines"),
    "engines_stop": ("停止构建", "Stop building"),
    "engines_stop_tip": ("改用下一个后端", "The next backend takes over"),
    # Forecast
    "forecast_later": ("模型载入后显示预计的内存和时间", "Memory and time are predicted once the model is loaded"),
    "forecast_green": ("预计顺利", "Fits"),
    "forecast_amber_memory": ("内存偏紧", "Memory is tight"),
    "forecast_amber_time": ("耗时较长", "Takes long"),
    "forecast_red_memory": ("内存很可能不够", "Likely not enough memory"),
    "forecast_red_time": ("耗时很长", "Takes very long"),
    "forecast_memory": ("内存 {needed} / 可用 {available}", "memory {needed} of {available}"),
    "forecast_time": ("首帧 {first} · 全部 {whole}", "first frame {first} · all {whole}"),
    "forecast_runs": ("按本机 {n} 次运行校正", "Corrected by {n} runs on this machine"),
    "forecast_prior": (
        "按 {machine} 的测量推算，运行后会校正",
        "As measured on {machine}; runs here correct it",
    ),
    "forecast_sure_memory": (
        "内存很可能不够，仍要生成吗？",
        "It likely needs more memory than there is. Generate anyway?",
    ),
    "forecast_sure_time": ("预计超过半小时，仍要生成吗？", "It will take over half an hour. Generate anyway?"),
    "forecast_go": ("仍然生成", "Generate anyway"),
    "forecast_stay": ("先不", "Not now"),
    # Another prompt while it streams
    "change_go": ("从下一段起改用新提示词", "Use this prompt from the next segment on"),
    "change_waits": ("下一段起：{prompt}", "From the next segment: {prompt}"),
    "change_taken": ("下一段起生效", "Takes effect with the next segment"),
    "change_from": ("第 {frame} 帧起", "From frame {frame}"),
    # Alarm
    "alarm_percent": ("内存告警阈值（%）", "Memory alarm (%)"),
    "alarm_tip": (
        "生成时，显存（没有显卡时为内存）的占用超过这个比例就红色告警。",
        "While a clip is made, a red alarm shows once this share of the GPU's memory (without one: of the machine's)"
        " is in use.",
    ),
    "alarm_gpu": ("显存告急：只剩 {free}。", "GPU memory is running short: {free} left."),
    "alarm_process": ("内存告急：只剩 {free}。", "Memory is running short: {free} left."),
    # Debug page
    "curves": ("内存曲线", "Memory curve"),
    "curve_process": ("本进程", "this process"),
    "curve_device": ("设备（全部程序）", "device, all programs"),
    "curve_allocated": ("PyTorch 已分配", "PyTorch allocated"),
    "curve_reserved": ("PyTorch 已保留", "PyTorch reserved"),
    "curve_span": ("最近 {minutes} 分钟", "the last {minutes} minutes"),
}
