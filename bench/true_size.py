"""`python -m bench.true_size --model ti2v-5b|longlive-5b|a14b --random-weights`: WAN 2.2 at its true size.

The walk with VAE and H.264, beside diffusers' `WanPipeline` on the same architecture, steps and size (its frames are
not even encoded), each in a process of its own, so that neither's memory is the other's. Weights are random, from a
fixed seed; `--source` takes a real checkpoint instead. `--tiny` is the same structure a few channels wide, for a CPU.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.random_checkpoint import MODELS, pipeline_of, random_checkpoint, random_configs
from bench.report import add_save, emit, median
from bench.vae_difference import vae_differences
from bench.whole_clip import whole_clip
from engines import fp8, fp8_attention, torch_engine
from engines.arenas import save_memory
from engines.checkpoint import Checkpoint, read_checkpoint, read_configs
from engines.tuning import Tuning
from engines.vae_step import CacheShapes, VaeStep
from pipeline import Model, VideoRequest, memory, stream
from pipeline.__main__ import parse_size
from pipeline.blocks import Plan
from pipeline.blocks import plan as plan_blocks
from pipeline.convert import LONGLIVE
from pipeline.denoise import Branch, Schedule
from pipeline.encode import Fragment
from pipeline.progress import Progress
from pipeline.spec import Spec, read_spec
from web.memory import MemoryMonitor, PeakWatch

PROMPT = "一只青灰色机械猫在雨夜东京街头踱步，赛博朋克风格"
# Dense bf16 and fp8 arithmetic of a GPU, TFLOP/s, from its data sheet.
_PEAK_TFLOPS = {"H100": (989.0, 1979.0), "H200": (989.0, 1979.0), "RTX 4090": (165.0, 330.0)}


class LongRequest(VideoRequest):
    """A minute of video, which is not offered to people."""

    @property
    def num_frames(self) -> int:
        return 60 * self.fps


def main() -> None:
    """Measure both sides, print one JSON object."""
    options = _parse()
    save_memory()  # for the processes that measure
    if options.part:
        print(json.dumps(_PARTS[options.part](options)))
        return
    ours = _child("ours")
    figures: dict[str, Any] = {"bench": "true_size", "model": options.model, **ours}
    if not options.skip_diffusers:
        theirs = _child("diffusers")
        figures |= {
            "diffusers": theirs,
            "speedup_vs_diffusers": round(theirs["total_ms"] / ours["total_ms"], 3),
            "gpu_peak_vs_diffusers": round(ours["gpu_peak_bytes"] / theirs["gpu_peak_bytes"], 3),
        }
    emit(figures, figures.pop("runs"), options.save)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.true_size", description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="longlive-5b")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--random-weights", action="store_true")
    weights.add_argument("--source", type=Path, help="a local checkpoint of this architecture")
    parser.add_argument("--tiny", action="store_true", help="a few channels wide")
    parser.add_argument("--size", type=parse_size, default=(1280, 720), metavar="WxH")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--steps", type=int, help="default: the checkpoint's own")
    parser.add_argument("--guidance-scale", type=float, default=1.0)
    parser.add_argument("--denoise-strength", type=float, default=0.75)
    parser.add_argument("--whole-clip", action="store_true", help="one block, as diffusers does it")
    parser.add_argument("--minute", action="store_true", help="also a minute of video")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cuda-graphs", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fp8-cache", action="store_true", help="keys and values of earlier latents in FP8")
    parser.add_argument("--merged-upsampling", action="store_true", help="see engines.vae_convs")
    parser.add_argument("--vae-frames", type=int, help="decoded at a time where they are largest; default: all")
    parser.add_argument("--fp8-error", type=float, help="largest relative error of the velocity; default: no FP8")
    parser.add_argument("--fp8-attention", action="store_true", help="within --fp8-error, see engines.fp8_attention")
    parser.add_argument(
        "--text-waits", action="store_true", help="the text encoder is on the GPU only while it computes"
    )
    parser.add_argument(
        "--experts-wait", action="store_true", help="as --text-waits, and of two experts one is on the GPU at a time"
    )
    parser.add_argument("--differences", action="store_true", help="also how far the VAE's frames are from eager ones")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--skip-diffusers", action="store_true")
    parser.add_argument("--part", choices=tuple(_PARTS), help="measure this side alone, in this process")
    add_save(parser)
    return parser.parse_args()


def _child(part: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.true_size", *sys.argv[1:], "--part", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{part}: exit {done.returncode}; what it said is above")
    return json.loads(done.stdout.splitlines()[-1])


def _ours(options: argparse.Namespace) -> dict[str, Any]:
    """Our side: the walk, warm, and its stages one by one."""
    device = _device()
    checkpoint, spec = _checkpoint(options, device), _spec(options)
    wanted: dict[str, Any] = {field.name: getattr(options, field.name) for field in dataclasses.fields(Tuning)}
    wanted["fp8_attention"] = (fp8_attention.find() or fp8_attention.emulated) if options.fp8_attention else None
    tuning = Tuning(**wanted)
    turns = ("text_encoder",) if options.text_waits else None
    if options.experts_wait:
        turns = ("text_encoder", "transformer", "transformer_2")
    vae_tflop = {first: _vae_tflop(checkpoint, first=first) for first in (True, False)}
    sizes, vae = _sizes(checkpoint), checkpoint.vae  # counted before weights in FP8 stop to be parameters
    begin = time.perf_counter()
    model = Model(
        spec, checkpoint.tokenizer, torch_engine.load(checkpoint, device=device, taking_turns=turns, tuning=tuning)
    )
    del checkpoint
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    request = _request(options)
    _stream(model, request)
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what compiling took
        torch.cuda.reset_peak_memory_stats()
    warm_up_ms = 1000 * (time.perf_counter() - begin)
    with PeakWatch(MemoryMonitor()) as peak:
        requests = [_request(options, prompt=f"{PROMPT} {i}") for i in range(options.runs)]  # none was encoded before
        runs = [_stream(model, dataclasses.replace(request, seed=1 + i)) for i, request in enumerate(requests)]
    figures: dict[str, Any] = {name: median(run[name] for run in runs) for name in runs[0]}
    figures |= {"gpu_peak_bytes": peak.bytes, "warm_up_ms": round(warm_up_ms), "runs": runs}
    if device.type == "cuda":  # what the allocator gave out; beside it the GPU holds what it keeps back, and libraries
        figures["allocated_peak_bytes"] = torch.cuda.max_memory_allocated()
        figures["reserved_peak_bytes"] = torch.cuda.max_memory_reserved()
        figures["allocated_peaks"] = _allocated_peaks(model, request)
    if options.minute:
        figures["four_seconds"] = _stream(model, dataclasses.replace(request, seconds=4))
        with PeakWatch(MemoryMonitor()) as peak:
            figures["minute"] = _stream(model, LongRequest(**dataclasses.asdict(request)))
        figures["minute"]["gpu_peak_bytes"] = peak.bytes
    figures |= _stages(model, request, sizes, vae_tflop)
    if isinstance(transformer := model.engines.transformer, torch_engine.TorchTransformer):
        made = transformer.fp8
        figures["fp8"] = dataclasses.asdict(made) | {"linears": list(fp8.kinds(made.linears))}
    plan = plan_blocks(request, spec.grid)
    if options.differences:
        figures["vae_difference"] = vae_differences(model.engines.vae_decoder, vae, (plan.height, plan.width), device)
    return figures | {"precision": model.backend, "device": _device_name(device), "settings": _settings(options, spec)}


def _diffusers(options: argparse.Namespace) -> dict[str, Any]:
    """diffusers' side: text to frames in host memory, warm; everything in the same precision, VAE included."""
    device = _device()
    checkpoint, spec, request = _checkpoint(options, device), _spec(options), _request(options)
    nn.Module.to(checkpoint.vae, dtype=checkpoint.transformer.dtype)
    pipe = pipeline_of(checkpoint, random_configs(options.model).index)
    pipe.set_progress_bar_config(disable=True)
    # Two experts and their text encoder leave no room on one GPU: diffusers' own way to take turns.
    if checkpoint.transformer_2 is not None and device.type == "cuda":
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(device)

    def run() -> float:
        begin = time.perf_counter()
        whole_clip(pipe, request, spec)
        return 1000 * (time.perf_counter() - begin)

    run()
    with PeakWatch(MemoryMonitor()) as peak:
        times = [run() for _ in range(options.runs)]
    return {"total_ms": median(times), "gpu_peak_bytes": peak.bytes}


_PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"ours": _ours, "diffusers": _diffusers}


def _stream(model: Model, request: VideoRequest) -> dict[str, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()  # a person asks when the last clip has long been done
    begin = time.perf_counter()
    arrivals = [1000 * (time.perf_counter() - begin) for piece in stream(request, model) if isinstance(piece, Fragment)]
    fps = 1000 * (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    return {
        "first_frame_ms": round(arrivals[0], 2),
        "sustained_fps": round(fps, 3),
        "total_ms": round(arrivals[-1], 2),
    }


def _allocated_peaks(model: Model, request: VideoRequest) -> dict[str, int]:
    """Bytes that the allocator had given out at most, by stage of the walk; keeping a block counts to the next one."""
    peaks: dict[str, int] = {}

    def observe(progress: Progress) -> None:
        if progress.stage != "encode":  # another thread's, which has nothing on the GPU
            peaks[progress.stage] = max(peaks.get(progress.stage, 0), torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()

    torch.cuda.reset_peak_memory_stats()
    for _ in stream(dataclasses.replace(request, prompt=f"{PROMPT} peaks"), model, observe=observe):
        pass
    return peaks


def _stages(model: Model, request: VideoRequest, sizes: memory.Sizes, vae_tflop: dict[bool, float]) -> dict[str, Any]:
    """ms of each stage alone, and how far it is from what the GPU's arithmetic allows."""
    spec, engines = model.spec, model.engines
    plan = plan_blocks(request, spec.grid)
    embeds = model.encode_prompt([])
    branch = Branch(engines.transformer, embeds)
    tokens = torch.ones(1, spec.max_sequence_length, dtype=torch.int64)
    result: dict[str, Any] = {"text_ms": _time(lambda: engines.text_encoder.encode(tokens, tokens))}
    roofline: dict[str, Any] = {}
    for name, block in (("first_denoise_step", plan.blocks[0]), ("denoise_step", plan.blocks[-1])):
        own, cached = block.num_latents, len(block.context)
        if spec.strategy == "chained":
            own, cached = own + cached, 0
        result[f"{name}_ms"] = _time(_velocity(spec, plan, branch, own, cached))
        n = plan.height * plan.width // spec.grid.patch**2
        tflop = memory.linear_tflop(sizes, own * n) + memory.attention_tflop(sizes, own * n, (own + cached) * n)
        roofline[name] = _bound(result[f"{name}_ms"], tflop)
    latent = torch.zeros(1, spec.channels, 1, plan.height, plan.width, device=engines.device)
    state = engines.vae_decoder.start(plan.height, plan.width)
    engines.vae_decoder.decode(latent, state)
    first = lambda: engines.vae_decoder.decode(latent, engines.vae_decoder.start(plan.height, plan.width))  # noqa: E731
    for name, is_first, run in (
        ("vae_first", True, first),
        ("vae_next", False, lambda: engines.vae_decoder.decode(latent, state)),
    ):
        result[f"{name}_ms"] = _time(run)
        roofline[name] = _bound(result[f"{name}_ms"], vae_tflop[is_first] * plan.height * plan.width)
    return result | {"roofline": roofline}


def _velocity(spec: Spec, plan: Plan, branch: Branch, own: int, cached: int) -> Callable[[], Tensor]:
    """One forward of `own` latents against `cached` ones."""
    device = branch.text.device
    latents = torch.randn(1, spec.channels, own, plan.height, plan.width).to(device)
    timesteps = torch.full((own,), 500.0, device=device)
    layers, pair, heads, _, head_dim = branch.text.shape
    n = plan.height * plan.width // spec.grid.patch**2
    rotary = branch.rotary(cached, latents)
    kept: list[Tensor] = []
    branch.transformer.keys_values(latents, timesteps, branch.text, rotary, branch.no_cache(), kept.append)
    cache = kept[0].new_zeros(layers, pair, heads, cached * n, head_dim)
    return lambda: branch.transformer.velocity(latents, timesteps, branch.text, rotary, cache)


def _sizes(checkpoint: Checkpoint) -> memory.Sizes:
    modules = {name: getattr(checkpoint, name) for name in ("text_encoder", "transformer", "vae")}
    parameters = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    return memory.sizes_of(checkpoint.transformer.config, checkpoint.vae.config, parameters)


def _vae_tflop(checkpoint: Checkpoint, *, first: bool) -> float:
    """TFLOP of one VAE step by cell of the latent grid, counted on the meta device."""
    step = VaeStep(checkpoint.vae, first=first)
    size = 8
    latent = torch.empty(1, int(checkpoint.vae.config["z_dim"]), 1, size, size, device="meta")
    caches = [torch.empty(shape, device="meta") for shape in CacheShapes(checkpoint.vae)(size, size)]
    with FlopCounterMode(display=False) as counter:
        copy.deepcopy(step).to("meta")(latent, *caches)
    return counter.get_total_flops() / 1e12 / size**2


def _bound(measured_ms: float, tflop: float) -> dict[str, float | None]:
    """Against dense bf16 arithmetic, where the GPU's is known."""
    name = _device_name(_device())
    peak = next((bf16 for gpu, (bf16, _) in _PEAK_TFLOPS.items() if gpu in name), None)
    bound = None if peak is None else round(1000 * tflop / peak, 3)
    return {
        "tflop": round(tflop, 4),
        "tflops": round(1000 * tflop / measured_ms, 2),
        "bf16_bound_ms": bound,
        "times_bound": None if bound is None or bound == 0 else round(measured_ms / bound, 2),
    }


def _time(run: Callable[[], object], repeats: int = 10) -> float:
    """Median ms of a call, the GPU's work included."""
    times: list[float] = []
    for _ in range(repeats + 2):
        begin = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - begin))
    return median(itertools.islice(times, 2, None))


def _checkpoint(options: argparse.Namespace, device: torch.device) -> Checkpoint:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if options.source is not None:
        return read_checkpoint(options.source, dtype=dtype)
    # Two experts are kept in host memory: they do not fit on one GPU beside their text encoder.
    kept = torch.device("cpu") if options.model == "a14b" else None
    return random_checkpoint(options.model, device=device, dtype=dtype, kept=kept, tiny=options.tiny)


def _spec(options: argparse.Namespace) -> Spec:
    if options.source is not None:
        spec = read_spec(read_configs(options.source))
    else:
        configs = random_configs(options.model, tiny=options.tiny)
        spec = read_spec(configs, LONGLIVE if options.model == "longlive-5b" else None)
    return spec.whole_clip() if options.whole_clip else spec


def _request(options: argparse.Namespace, prompt: str = PROMPT) -> VideoRequest:
    width, height = options.size
    return VideoRequest(
        prompt=prompt,
        width=width,
        height=height,
        seconds=options.seconds,
        fps=options.fps,
        seed=0,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance_scale,
        denoise_strength=options.denoise_strength,
    )


def _settings(options: argparse.Namespace, spec: Spec) -> dict[str, Any]:
    request = _request(options)
    grid = dataclasses.asdict(spec.grid)
    return json.loads(request.to_json()) | {"grid": grid, "steps": Schedule.of(request, spec).num_steps}


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    main()
