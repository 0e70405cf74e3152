"""`python -m engines.build`: a checkpoint to TensorRT plans, for the GPU here or ahead of time for a named one.

Owns which precision a checkpoint gets, the order of the work, and running it in a process of its own that a caller can
watch and stop. The result is an entry of `engines.cache`. Does not know how a plan is run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engines import cache, exporting
from engines.compile import ANY, Options, Precision, Profiles, compile_plan, plan_specs
from engines.errors import EngineError, WanError
from engines.gpu import Gpu, find_gpu
from engines.shapes import FRAME_SIZES, Shapes, read_shapes
from engines.tensorrt_library import Library, import_library, library_for, target_of

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "assets" / "embedded"
# How long each takes, in parts of a hundredth of a whole build: exported, then built.
_SHARES = {
    "text_encoder": (6, 2),
    "text_keys_values": (4, 1),
    "transformer": (25, 25),
    "layer_before": (2, 1),
    "layer_after": (2, 1),
    "vae_first": (13, 6),
    "vae_next": (13, 5),
}
_LARGE_BYTES = 2 << 30  # weights above this run in bfloat16: large models leave float16's range, and memory is short
_VAE_PRECISION: Precision = "fp16"  # beside either, as PyTorch's on a GPU: as fast as bf16, eight times as exact
_SOURCES = ("build", "compile", "export", "fp8", "layer_parts", "qdq", "shapes", "transformer_step", "vae_step")


@dataclass(frozen=True, slots=True)
class Built:
    """One plan is ready, or one exported graph.

    Attributes:
        name: of its file, without suffix.
        seconds: since the one before, so with the export of its graph where nothing else was to be done meanwhile.
    """

    name: str
    bytes: int
    seconds: float


def options_for(
    checkpoint: Path,
    target: str,
    *,
    precision: Precision | None = None,
    profiles: Profiles = "one",
    shapes: Shapes | None = None,
    fp8_error: float | None = None,
    layered: bool | None = None,
) -> Options:
    """The options for a checkpoint; what is not given follows from its size and its configuration.

    Args:
        precision: of the transformer; not given, a large one is in bfloat16.
        layered: not given, a large one is, unless it has FP8, which is chosen and scaled for each layer by itself. A
            small one's layers take less time than their launches.
    """
    large = _weight_bytes(checkpoint / "transformer") > _LARGE_BYTES
    large_text = _weight_bytes(checkpoint / "text_encoder") > _LARGE_BYTES
    return Options(
        checkpoint=checkpoint,
        shapes=shapes or read_shapes(checkpoint),
        target=target,
        precision=precision or ("bf16" if large else "fp16"),
        text_precision="bf16" if large_text else "fp32",
        profiles=profiles,
        fp8_error=fp8_error,
        layered=large and fp8_error is None if layered is None else layered,
    )


def local_target(gpu: Gpu, library: Library) -> str:
    """The target of the GPU that is here; `ANY` where TensorRT-RTX runs on it but does not list it."""
    target = target_of(gpu)
    return ANY if library.is_rtx and target not in library.targets() else target


def facts(options: Options, library: Library) -> dict[str, str]:
    """What the plans depend on; a plan of other facts is stale."""
    return {
        "library": library.name,
        "version": library.version,
        "target": options.target,
        "precision": f"{options.precision}, text {options.text_precision}, VAE {_VAE_PRECISION}",
        "fp8": "none" if options.fp8_error is None else f"within {options.fp8_error:g}",
        "profiles": options.profiles,
        "transformer": "layer by layer" if options.layered else "whole",
        "shapes": options.shapes.describe(),
        "project": cache.source_hash(*_SOURCES),
        "checkpoint": cache.checkpoint_hash(options.checkpoint),
    }


def build(
    options: Options,
    library: Library,
    *,
    root: Path = cache.PLANS,
    observe: Callable[[Built], None] = lambda _: None,
    graphs: Path | None = None,
    processes: int | None = None,
) -> Path:
    """Build what is not there yet and return its folder in the cache.

    Args:
        observe: told of each plan.
        graphs: folder of `export_graphs`; None exports the graphs for a moment.
        processes: that export at once; 1: this one. None: a large model's weights are in memory once, of others as
            many graphs are exported at once as there are cores and memory for.

    Raises:
        EngineError: the library cannot build for the target, or refuses a graph, and why.
    """
    if options.target != ANY and library.is_rtx and options.target not in library.targets():
        raise EngineError(f"target {options.target!r}; {library.label} has: {', '.join(sorted(library.targets()))}")

    def make(folder: Path) -> None:
        shares = {name: _SHARES[name] for name in options.graphs}
        done, whole = 0, sum(sum(both) for both in shares.values())
        cache.report(folder, 0)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            for name, onnx in _graphs(options, library, graphs, Path(temporary), processes):
                export_share, build_share = shares[name]
                specs = plan_specs(options, name)
                for index, spec in enumerate(specs):
                    so_far = done + export_share + build_share * index / len(specs)
                    cache.report(folder, int(100 * so_far / whole))
                    plan = folder / f"{spec.name}.plan"
                    compile_plan(options, library, spec, onnx, plan)
                    end = time.perf_counter()
                    observe(Built(spec.name, plan.stat().st_size, end - begin))
                    begin = end
                done += export_share + build_share
                cache.report(folder, 100 * done // whole)
        cache.report(folder, 100)

    return cache.entry(options.name, make, facts=facts(options, library), root=root)


def build_in_child(
    options: Options,
    library: Library,
    *,
    root: Path = cache.PLANS,
    observe: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """As `build`, in a process of its own, which ends when this one does.

    Args:
        observe: told the percentage when it changes.
        stop: asked five times a second; True ends the build.

    Raises:
        EngineError: the build failed or was stopped; nothing of it is left.
    """
    fault = cache.find_fault(options.name, made_of := facts(options, library), root=root)
    if fault is None:
        return root / options.name
    command = [sys.executable, "-m", "engines.build", "--child", "--library", library.name, *_arguments(options, root)]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors) as child,
    ):
        latest = -1
        try:
            while child.poll() is None:
                if stop():
                    raise EngineError("the build of the engines was stopped")
                percent = cache.making_percent(root=root)
                if percent is not None and percent != latest:
                    observe(latest := percent)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(0.2)
        finally:
            child.kill()
        if child.wait() != 0:
            errors.seek(0)
            last = errors.read().decode(errors="replace").strip().splitlines()[-3:]
            raise EngineError(f"the build of the engines failed (exit {child.returncode}): {' '.join(last)}")
    fault = cache.find_fault(options.name, made_of, root=root)
    if fault is not None:
        raise EngineError(f"the engines were built but cannot be used: {fault}")
    return root / options.name


def export_graphs(options: Options, names: Sequence[str], folder: Path) -> None:
    """Write these graphs for TensorRT-RTX, which need not be there, so that several processes can share the work."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        begin = time.perf_counter()
        _export(options, name, folder / f"{name}.onnx", fused_attention=True)
        _print(Built(name, sum(p.stat().st_size for p in folder.glob(f"{name}.onnx*")), time.perf_counter() - begin))


def _graphs(
    options: Options, library: Library, graphs: Path | None, temporary: Path, processes: int | None
) -> Iterator[tuple[str, Path]]:
    """Name and file of each graph, as it is there."""
    names = options.graphs
    if graphs is not None:
        return ((name, graphs / f"{name}.onnx") for name in names)
    if processes is None:
        weights = sum(_weight_bytes(options.checkpoint / part) for part in ("transformer", "text_encoder"))
        processes = 1 if weights > _LARGE_BYTES else exporting.processes_for(len(names))
    if processes > 1:
        # The longest is begun first, so that nobody waits for it alone; then short ones, to show progress.
        longest = max(names, key=lambda name: _SHARES[name][0])
        names = (longest, *(name for name in names if name != longest))
    export = partial(_export, options, fused_attention=library.reads_attention)
    return exporting.exported(names, temporary, export, processes)


def _export(options: Options, name: str, path: Path, *, fused_attention: bool) -> None:
    # Imported here: the app, which only watches the child, needs no exporter.
    from engines import export

    graph = export.graph(
        options.checkpoint,
        name,
        tokens=options.shapes.tokens,
        precision=options.precision,
        text_precision=options.text_precision,
        vae_precision=_VAE_PRECISION,
        fp8_error=options.fp8_error,
        gives_context=options.shapes.has_context,
        fused_attention=fused_attention,
    )
    export.write(graph, path)


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _arguments(options: Options, root: Path) -> list[str]:
    """`options` as flags for `main`."""
    given = {"--target": options.target, "--out": root.resolve(), "--model": options.checkpoint.resolve()}
    given |= {"--profiles": options.profiles, "--precision": options.precision}
    given |= {"--transformer": "layers" if options.layered else "whole"}
    if options.fp8_error is not None:
        given |= {"--fp8-error": options.fp8_error}
    flags = [str(part) for pair in given.items() for part in pair]
    flags += ["--size", *(f"{width}x{height}" for width, height in options.shapes.frame_sizes)]
    return [*flags, "--blocks", *(f"{latents}+{context}" for latents, context in options.shapes.blocks)]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 when every engine is there."""
    parser = argparse.ArgumentParser(prog="python -m engines.build", description="Build TensorRT engines.")
    parser.add_argument("--target", help='"sm89" and the like, or "any" (TensorRT-RTX); default: the GPU here')
    parser.add_argument("--out", type=Path, default=cache.PLANS, help="folder that the entry is put in")
    parser.add_argument("--model", type=Path, default=EMBEDDED, help="checkpoint in diffusers layout")
    parser.add_argument("--precision", choices=("fp16", "bf16"), help="default: by the size of the model")
    parser.add_argument(
        "--fp8-error", type=float, help="largest relative error of the velocity by linears in FP8; default: no FP8"
    )
    parser.add_argument(
        "--profiles", choices=("one", "each"), default="one", help="one plan for all shapes, or each shape its own"
    )
    parser.add_argument(
        "--transformer", choices=("whole", "layers"), help="one plan, or plans of a layer's parts; default: by its size"
    )
    parser.add_argument(
        "--size", nargs="+", type=_size, metavar="WxH", help="frame sizes; default: all that are offered"
    )
    parser.add_argument(
        "--blocks", nargs="+", type=_block, metavar="LATENTS+CONTEXT", help="default: as the checkpoint says"
    )
    parser.add_argument("--library", choices=("tensorrt_rtx", "tensorrt"), help="default: the one for the target")
    parser.add_argument(
        "--graphs", type=Path, metavar="FOLDER", help="of exported graphs, which are not exported again"
    )
    parser.add_argument("--export", nargs="+", choices=_SHARES, help="only put these into --graphs; needs no TensorRT")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        _end_with_parent()
    exporting.quieten()
    if given.export and given.graphs is None:
        parser.error("--export needs --graphs")
    try:
        shapes = read_shapes(given.model, frame_sizes=tuple(given.size or FRAME_SIZES), blocks=_tuple(given.blocks))
        if given.export:
            options = options_for(given.model, ANY, precision=given.precision, shapes=shapes, fp8_error=given.fp8_error)
            export_graphs(options, given.export, given.graphs)
            return 0
        target, library = _target_and_library(given.target, given.library)
        options = options_for(
            given.model,
            target,
            precision=given.precision,
            profiles=given.profiles,
            shapes=shapes,
            fp8_error=given.fp8_error,
            layered=None if given.transformer is None else given.transformer == "layers",
        )
        print(f"{library.label} · {options.target} · {options.precision} · {shapes.describe()}", flush=True)
        folder = build(options, library, root=given.out, observe=_print, graphs=given.graphs)
    except (WanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(folder)
    return 0


def _target_and_library(target: str | None, name: str | None) -> tuple[str, Library]:
    gpu = find_gpu()
    if target is None:
        if gpu is None:
            raise EngineError("no NVIDIA GPU here: name a --target such as sm89")
        library = import_library(name) if name else library_for(gpu)
        return local_target(gpu, library), library
    return target, import_library(name or "tensorrt_rtx")


def _print(built: Built) -> None:
    print(f"{built.name:24} {built.bytes / 1e6:9.1f} MB {built.seconds:7.1f} s", flush=True)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone: its end of our input closes."""

    def wait() -> None:
        while os.read(0, 64):  # not through sys.stdin, whose lock would be held when this process ends by itself
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


def _size(value: str) -> tuple[int, int]:
    width, _, height = value.partition("x")
    return int(width), int(height)


def _block(value: str) -> tuple[int, int]:
    latents, _, context = value.partition("+")
    return int(latents), int(context or 0)


def _tuple(values: list[tuple[int, int]] | None) -> tuple[tuple[int, int], ...] | None:
    return None if values is None else tuple(values)


if __name__ == "__main__":
    sys.exit(main())
