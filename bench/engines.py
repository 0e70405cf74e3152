"""`python -m bench.engines`: every engine by itself and all of them together, on each backend, side by side.

Each backend runs in a process of its own on the same inputs, so that its peak of memory is its own; errors are
relative to float32 on the CPU (`--reference`), frames are compared with those of the first backend. "eager" and
"compiled" are PyTorch, without and with `torch.compile`; "diffusers" is its `WanPipeline`, the whole clip alone.
The peak is that of loading and of whole clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from bench.report import add_save, emit, median
from engines.arenas import save_memory
from pipeline.__main__ import parse_size
from pipeline.request import VideoRequest

BACKENDS = ("eager", "compiled", "tensorrt", "tensorrt-fp8", "openvino", "diffusers")


class _Request(VideoRequest):
    """A request of any size, also one that is offered to nobody."""

    def __post_init__(self) -> None:
        pass


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["eager", "compiled", "tensorrt"])
    parser.add_argument("--model")
    parser.add_argument("--size", type=parse_size, default=(768, 432), metavar="WxH")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--steps", type=int, help="default: the model's own")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--prompt", default="一只红色的球从左向右移动")
    parser.add_argument("--reference", action="store_true", help="also float32 on the CPU, for errors (small models)")
    parser.add_argument("--rebuild", action="store_true", help="delete the TensorRT plans first: time of a first start")
    parser.add_argument("--precision", choices=("fp16", "bf16"), help="of TensorRT; default: by the size of the model")
    parser.add_argument(
        "--profiles", choices=("one", "each"), default="one", help="of TensorRT; each: a plan for each shape of --size"
    )
    parser.add_argument("--taking-turns", nargs="+", metavar="ENGINE", help="are on the GPU only in turn")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)
    add_save(parser)
    options = parser.parse_args()
    save_memory()  # for the processes that measure
    if options.one:
        print(json.dumps((_diffusers if options.one == "diffusers" else _measure)(options)))
        return
    backends = [*(["reference"] if options.reference else []), *options.backends]
    with tempfile.TemporaryDirectory() as folder:
        results: dict[str, Any] = {}
        inputs: list[str] = []
        for backend in backends:
            kept = Path(folder) / f"{backend}.pt"
            command = [sys.executable, "-m", "bench.engines", *sys.argv[1:], "--one", backend, "--keep", str(kept)]
            command += inputs
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            last = done.stdout.splitlines()[-1:] or ["{}"]
            results[backend] = json.loads(last[0]) if done.returncode == 0 else {"failed": done.returncode}
            if not inputs and kept.exists():
                inputs = ["--inputs", str(kept)]
        _compare(Path(folder), backends, results)
    if "peak_memory_bytes" in results.get("diffusers", {}):
        whole = results["diffusers"]["peak_memory_bytes"]
        for result in results.values():
            if "failed" not in result:
                result["peak_vs_diffusers"] = round(result["peak_memory_bytes"] / whole, 3)
    width, height = options.size
    figures = {"size": f"{width}x{height}", "seconds": options.seconds, "model": options.model or "embedded"}
    figures |= {
        "steps": options.steps,
        "profiles": options.profiles,
        "taking_turns": options.taking_turns or "by free memory",
    }
    emit(figures | {"backends": results}, [], options.save)


def _compare(folder: Path, backends: list[str], results: dict[str, Any]) -> None:
    """Add errors against the first backend that gave the same to the results of the others."""
    import torch

    there = [backend for backend in backends if (folder / f"{backend}.pt").exists()]
    if not there:
        return
    expected: dict[str, tuple[str, Any]] = {}  # what a backend gave that no backend before it had
    for backend in there:
        for name, value in torch.load(folder / f"{backend}.pt").items():
            if name not in expected:
                expected[name] = (backend, value.float())
                continue
            other, wanted = expected[name]
            result = results[backend].setdefault(f"against_{other}", {"relative_error": {}, "psnr_db": {}})
            if value.dtype == torch.uint8:  # whose middle is 0 of the decoder
                value, wanted = value.float() - 127.5, wanted - 127.5
                error = (value.float() - wanted).square().mean()
                psnr = None if error == 0 else round(float(10 * torch.log10(255.0**2 / error)), 2)
                result["psnr_db"][name] = psnr
            relative = float((value.float() - wanted).norm() / wanted.norm())
            result["relative_error"][name] = round(relative, 6)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from engines.checkpoint import read_checkpoint, read_configs
    from pipeline.model import Model, folder_of
    from pipeline.spec import read_spec

    folder = folder_of(options.model)
    kept: dict[str, Any] = {}
    with _PeakMemory() as peak:
        begin = time.perf_counter()
        checkpoint = read_checkpoint(folder, dtype=_dtype(options.one))
        read_s = time.perf_counter() - begin
        engines = _engines(options, checkpoint)
        load_s = time.perf_counter() - begin - read_s
        spec = read_spec(read_configs(folder))
        model = Model(spec=spec, tokenizer=checkpoint.tokenizer, engines=engines)
        runs = [] if options.one == "reference" else [_end_to_end(model, options, kept) for _ in range(3)]
    times: dict[str, Any] = {}
    for name, call in _components(model, options).items():
        kept[name] = call().cpu()
        call()  # TensorRT-RTX and torch.compile prepare a shape in the first calls
        times[name] = _time(call, 1 if options.one == "reference" else options.runs)
    torch.save(kept, options.keep)
    result: dict[str, Any] = {
        "label": engines.label,
        "read_s": round(read_s, 2),
        "load_s": round(load_s, 2),
        "ms": times,
        "peak_memory_bytes": peak.bytes,
    }
    if runs:
        result["total_ms"], result["first_frame_ms"] = (median(run[i] for run in runs[1:]) for i in (0, 1))
    return result


def _diffusers(options: argparse.Namespace) -> dict[str, Any]:
    """One clip from text to frames in host memory, as many steps and frames, everything on the device in bfloat16."""
    import diffusers
    import torch

    from bench.whole_clip import whole_clip
    from engines.checkpoint import read_configs
    from pipeline.model import folder_of
    from pipeline.spec import read_spec

    folder = folder_of(options.model)
    spec = read_spec(read_configs(folder))
    device, dtype = ("cuda" if torch.cuda.is_available() else "cpu"), _dtype("eager")
    times: list[float] = []
    with _PeakMemory() as peak:
        pipe: Any = diffusers.WanPipeline.from_pretrained(folder, torch_dtype=dtype, local_files_only=True).to(device)
        pipe.set_progress_bar_config(disable=True)
        for _ in range(3):
            begin = time.perf_counter()
            whole_clip(pipe, _request(options), spec)
            times.append(1000 * (time.perf_counter() - begin))
    label = f"diffusers {diffusers.__version__} · {str(dtype).removeprefix('torch.')}"
    return {"label": label, "peak_memory_bytes": peak.bytes, "total_ms": median(times[1:])}


def _dtype(backend: str) -> Any:
    import torch

    is_gpu = torch.cuda.is_available() and backend not in ("reference", "openvino")
    return torch.bfloat16 if is_gpu else torch.float32


def _engines(options: argparse.Namespace, checkpoint: Any) -> Any:
    import torch

    from engines import FP8_ERROR, load_engines, load_tensorrt, torch_engine
    from engines.tuning import Tuning

    backend, turns = options.one, options.taking_turns
    if backend.startswith("tensorrt"):
        return load_tensorrt(
            checkpoint,
            fp8_error=FP8_ERROR if backend == "tensorrt-fp8" else None,
            precision=options.precision,
            profiles=options.profiles,
            frame_sizes=(options.size,) if options.profiles == "each" else None,
            taking_turns=turns,
            rebuild=options.rebuild,
        )
    if backend == "openvino":
        return load_engines(checkpoint, backend)
    device = torch.device("cuda" if torch.cuda.is_available() and backend != "reference" else "cpu")
    tuning = Tuning(compile=backend == "compiled")
    return torch_engine.load(checkpoint, device=device, taking_turns=turns, tuning=tuning)


def _components(model: Any, options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """A call for each engine and shape, its inputs from a fixed seed and already on the device."""
    import torch

    from pipeline.blocks import plan as plan_blocks

    engines, spec, device = model.engines, model.spec, model.engines.device
    transformer, decoder = engines.transformer, engines.vae_decoder
    generator = torch.Generator("cpu").manual_seed(0)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(device)

    tokens = model.tokenizer(
        options.prompt,
        padding="max_length",
        truncation=True,
        max_length=spec.max_sequence_length,
        return_tensors="pt",
    )
    ids, mask = tokens["input_ids"].to(device), tokens["attention_mask"].to(device)
    before = torch.load(options.inputs) if options.inputs else {}  # the first backend's, so that errors do not add up
    embeds = before["text_encoder"].to(device) if before else engines.text_encoder.encode(ids, mask)
    text = before["text_keys_values"].to(device) if before else transformer.text_keys_values(embeds)
    plan = plan_blocks(_request(options), spec.grid)
    grid = (plan.height, plan.width)
    layers, pair, heads, _, head_dim = text.shape
    calls: dict[str, Callable[[], Any]] = {
        "text_encoder": lambda: engines.text_encoder.encode(ids, mask),
        "text_keys_values": lambda: transformer.text_keys_values(embeds),
    }
    for name, block in {"transformer_first": plan.blocks[0], "transformer_later": plan.blocks[-1]}.items():
        own, context = block.num_latents, len(block.context)
        if spec.strategy == "chained":
            own, context = own + context, 0
        latents = normal(1, spec.channels, own, *grid)
        context *= (plan.height // spec.grid.patch) * (plan.width // spec.grid.patch)
        cache = normal(layers, pair, heads, context, head_dim).to(text.dtype)
        timesteps = torch.full((own,), 500.0, device=device)
        given = (latents, timesteps, text, transformer.rotary(block.start, latents), cache)
        calls[name] = lambda given=given: transformer.velocity(*given)
    latent = normal(1, spec.channels, 1, *grid)
    state = decoder.start(*grid)
    decoder.decode(latent, state)
    calls["vae_first"] = lambda: decoder.decode(latent, decoder.start(*grid))
    calls["vae_next"] = lambda: decoder.decode(latent, state)

    def features() -> Any:
        """What the last convolution is given after two latents: unlike pixels not rounded to bytes."""
        fresh = decoder.start(*grid)
        for _ in range(2):
            decoder.decode(latent, fresh)
        return fresh.caches[-1]

    calls["vae_features"] = features
    return calls


def _request(options: argparse.Namespace) -> VideoRequest:
    width, height = options.size
    return _Request(
        prompt=options.prompt,
        width=width,
        height=height,
        seconds=options.seconds,
        num_inference_steps=options.steps,
        seed=0,
    )


def _time(call: Callable[[], Any], runs: int) -> float:
    """Median milliseconds of a call, until its result is there."""
    import torch

    times: list[float] = []
    for _ in range(runs):
        begin = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - begin))
    return median(times)


def _end_to_end(model: Any, options: argparse.Namespace, kept: dict[str, Any]) -> tuple[float, float]:
    """One clip without H.264, its prompt not encoded before: total and first frame in ms; its frames are kept."""
    import numpy as np
    import torch

    from pipeline import generate

    model = dataclasses.replace(model, prompts=type(model.prompts)())
    begin = time.perf_counter()
    arrivals: list[float] = []
    frames: list[Any] = []
    for made in generate(_request(options), model):
        arrivals.append(1000 * (time.perf_counter() - begin))
        frames.append(made.pixels)
    kept["frames"] = torch.from_numpy(np.concatenate(frames))
    return arrivals[-1], arrivals[0]


class _PeakMemory:
    """Largest memory in use while inside: the GPU's beyond what was used before, else this process's; 50 Hz."""

    def __enter__(self) -> _PeakMemory:
        import torch

        self.bytes = 0
        self._done = threading.Event()
        self._cuda = torch.cuda if torch.cuda.is_available() else None
        self._before = self._used()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _used(self) -> int:
        if self._cuda is None:
            return psutil.Process().memory_info().rss
        free, total = self._cuda.mem_get_info()
        return total - free

    def _watch(self) -> None:
        before = self._before if self._cuda is not None else 0
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, self._used() - before)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


if __name__ == "__main__":
    main()
