"""`python -m bench.table`: the README's table of figures, made of what is in bench/results; `--check` only compares.

Owns which figures are told, their names in both languages, and the markers between which the table stands. A figure
whose result is not there yet is left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bench.report import RESULTS, ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
_BROWSERS = {"chromium": "Chromium", "firefox": "Firefox", "webkitgtk": "WebKitGTK (Safari)"}

Result = Mapping[str, Any]


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.2f} s"


def _gigabytes(n: float) -> str:
    return f"{n / 1e9:.2f} GB"


def _first_frame(told: Result) -> Iterator[tuple[str, str]]:
    runs = len(told["runs"])
    yield f"点击到首帧上屏 / click to first painted frame (median of {runs})", _seconds(told["first_painted_frame_ms"])
    yield "其中播放器与传输 / of that, player and transport", _seconds(told["transport_ms"])


def _browsers(told: Result) -> Iterator[tuple[str, str]]:
    for name, engine in told["engines"].items():
        engine_name = f"{_BROWSERS[name]} {engine['version']}"
        words = f"看到首帧（封面）/ 视频首帧上屏 · first frame seen (poster) / painted, {engine_name}"
        yield words, f"{_seconds(engine['first_seen_frame_ms'])} / {_seconds(engine['first_painted_frame_ms'])}"


def _generate(told: Result) -> Iterator[tuple[str, str]]:
    lengths = told["by_seconds"].items()
    speed = ", ".join(f"{length['sustained_fps']:.1f} fps ({seconds} s)" for seconds, length in lengths)
    yield "持续生成，含 H.264 / sustained generation, H.264 included", speed
    yield "峰值内存 / peak memory", ", ".join(f"{_gigabytes(one['peak_memory_bytes'])} ({s} s)" for s, one in lengths)


def _page(told: Result) -> Iterator[tuple[str, str]]:
    yield "页面可用 / page interactive", _seconds(told["interactive_ms"])
    size = told["settings"]["size"]
    yield (
        f"播放 {size} 时主线程最长任务 / longest main-thread task while {size} streams",
        f"{told['longest_task_ms']} ms",
    )
    yield "自己的脚本，传输大小 / our own scripts as sent", f"{told['own_script_sent_bytes'] / 1000:.1f} kB"


def _memory(told: Result) -> Iterator[tuple[str, str]]:
    words = f"内存预测最大误差 / largest error of predicted memory ({len(told['runs'])} settings)"
    yield words, f"{100 * told['largest_memory_error']:.1f} %"


def _engines(told: Result) -> Iterator[tuple[str, str]]:
    made, eager = told["backends"]["tensorrt"], told["backends"]["eager"]
    step = "transformer_later"
    library = made["label"].partition(" · ")[0]
    yield f"首次构建全部引擎 / first build of all engines, {library}", f"{made['load_s']:.0f} s"
    words = f"去噪一步：{library} / PyTorch · one denoising step: {library} / PyTorch eager"
    yield words, f"{made['ms'][step]:.1f} ms / {eager['ms'][step]:.1f} ms"
    yield (
        "对 fp32 的相对误差 / relative error against fp32, fp16",
        f"{made['against_reference']['relative_error'][step]:.4f}",
    )


def _true_size(told: Result) -> Iterator[tuple[str, str]]:
    name = "LongLive 2.0 5B, 1280×720, 随机权重 / random weights"
    yield f"{name}: 首帧 / first frame", _seconds(told["first_frame_ms"])
    yield f"{name}: 持续生成 / sustained", f"{told['sustained_fps']:.1f} fps"
    yield f"{name}: 比 diffusers 快 / faster than diffusers' WanPipeline", f"{told['speedup_vs_diffusers']:.2f}×"
    peaks = f"{_gigabytes(told['gpu_peak_bytes'])} / {_gigabytes(told['diffusers']['gpu_peak_bytes'])}"
    yield f"{name}: 显存峰值，对比 diffusers / GPU peak, beside diffusers'", peaks


def _true_size_engines(told: Result) -> Iterator[tuple[str, str]]:
    name = "WAN 2.2 TI2V 5B, 1280×704, 随机权重 / random weights"
    made, eager, diffusers = (told["backends"][backend] for backend in ("tensorrt", "eager", "diffusers"))
    library = made["label"].partition(" · ")[0]
    for step, latents in (("transformer_first", 5), ("transformer_later", 9)):
        words = f"{name}: {latents} 个潜帧去噪一步 / one denoising step of {latents} latents, {library} / PyTorch eager"
        yield words, f"{made['ms'][step]:.0f} ms / {eager['ms'][step]:.0f} ms"
    if "vae_next" in told["taking_turns"]:  # all of them
        peaks = f"{_gigabytes(made['peak_memory_bytes'])} / {_gigabytes(diffusers['peak_memory_bytes'])}"
        yield f"{name}: 显存峰值，引擎轮流驻留，对比 diffusers / GPU peak, engines in turn, beside diffusers'", peaks


PARTS: Mapping[str, tuple[str, Callable[[Result], Iterator[tuple[str, str]]]]] = {
    "first_frame_cpu": ("bench.first_frame", _first_frame),
    "browsers_cpu": ("bench.browsers", _browsers),
    "generate_cpu": ("bench.generate --seconds 2 8", _generate),
    "page_cpu": ("bench.page", _page),
    "memory_check_cpu": ("bench.memory_fit --check", _memory),
    "engines_h100": ("bench.engines --reference --rebuild", _engines),
    "true_size_longlive-5b": ("bench.true_size --model longlive-5b …", _true_size),
    "engines_ti2v-5b_h200": ("bench.engines --backends eager tensorrt diffusers …", _true_size_engines),
}


def table() -> str:
    """The table in Markdown."""
    lines = ["| 768×432, 24 fps | | `python -m …` | 机器 / machine |", "|---|---|---|---|"]
    for name, (command, rows) in PARTS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        told = json.loads(path.read_text(encoding="utf-8"))
        hardware = told["hardware"]
        where = next(iter(hardware.get("gpus", ())), f"{hardware['cpu']} × {hardware['cores']}")
        lines += [f"| {words} | **{figure}** | `{command}` | {where} |" for words, figure in rows(told)]
    return "\n".join(lines)


def fill(readme: str) -> str:
    """The README with the table in its place.

    Raises:
        ValueError: the markers are not there once each, in their order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after or END in after:
        raise ValueError(f"{README.name} needs {BEGIN} and {END} once each")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    """Write the table into the README, or with `--check` exit 1 where another one stands there."""
    parser = argparse.ArgumentParser(prog="python -m bench.table", description="The README's table of figures.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the README differs")
    check: bool = parser.parse_args().check
    readme = README.read_text(encoding="utf-8")
    filled = fill(readme)
    if check:
        raise SystemExit(filled != readme)
    README.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main()
