"""Plans made for real, ahead of time, without a GPU; and what is damaged, foreign or half made is made anew."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engines import FP8_ERROR, build, cache, load_engines
from engines.checkpoint import Checkpoint
from engines.compile import Options, PlanSpec, _ranges, plan_files, plan_specs
from engines.errors import EngineError
from engines.export import GRAPHS
from engines.gpu import Gpu
from engines.layer_parts import LAYER_PARTS
from engines.shapes import Shapes, read_shapes

pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed (pip install -r requirements-trt.txt)")
from engines.tensorrt_engine import is_layered
from engines.tensorrt_library import Library, import_library

SIZES = ((96, 64), (64, 96))  # width, height in pixels: latents of 4 x 6 and 6 x 4
ROOT = Path(__file__).resolve().parents[2]
GPU = Gpu("RTX 4090", (570, 1), (8, 9))


@pytest.fixture(scope="module")
def library() -> Library:
    return import_library("tensorrt_rtx")


@pytest.fixture(scope="module")
def shapes(tiny_folder: Path) -> Shapes:
    return read_shapes(tiny_folder, frame_sizes=SIZES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """As `build._export`, but each graph is made once for the whole module: exporting takes longer than building."""
    folder = tmp_path_factory.mktemp("onnx")
    really = build._export

    def copy(options: Options, name: str, path: Path, *, fused_attention: bool = True) -> None:
        made = folder / f"{options.checkpoint.name}-{name}-{options.precision}.onnx"
        if not made.exists():
            really(options, name, made, fused_attention=fused_attention)
        shutil.copy(made, path)

    return copy


@pytest.mark.parametrize(
    ("model", "target", "precision"),
    [
        ("embedded", "sm86", "fp16"),
        ("embedded", "sm89", "fp16"),
        ("embedded", "sm120", "fp16"),
        ("tiny", "sm89", "bf16"),
        ("tiny", "any", "bf16"),
    ],
)
def test_every_engine_compiles_ahead_of_time(
    tiny_folder: Path,
    library: Library,
    exported: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    target: str,
    precision: build.Precision,
) -> None:
    monkeypatch.setattr(build, "_export", exported)
    options = build.options_for(build.EMBEDDED if model == "embedded" else tiny_folder, target, precision=precision)
    built: list[build.Built] = []
    folder = build.build(options, library, root=tmp_path, observe=built.append, processes=1)
    assert [engine.name for engine in built] == list(GRAPHS)
    assert all((folder / f"{engine.name}.plan").stat().st_size == engine.bytes > 0 for engine in built)
    facts = json.loads((folder / "manifest.json").read_text())["facts"]
    assert facts["target"] == target
    assert facts["version"] == library.version
    assert facts["precision"] == f"{precision}, text fp32, VAE fp16"
    assert cache.making_percent(root=tmp_path) is None
    assert build.build(options, library, root=tmp_path) == folder


def test_what_plans_take(tiny_folder: Path, shapes: Shapes, exported: Callable[..., None], tmp_path: Path) -> None:
    options = build.options_for(tiny_folder, "sm89", precision="bf16", profiles="each", shapes=shapes)
    exported(options, "transformer", graph := tmp_path / "graph.onnx")
    each = {spec.name: _ranges(spec, graph) for spec in plan_specs(options, "transformer")}
    assert len(each) == len(shapes.sizes) * len(shapes.blocks)
    assert all(least == usual == most for taken in each.values() for least, usual, most in taken.values())
    assert each["transformer-3x4x6+4"]["latents"][0] == (1, 8, 3, 4, 6)
    assert each["transformer-3x4x6+4"]["cache"][0] == (2, 2, 2, 24, 24)
    (one,) = plan_specs(replace(options, profiles="one"), "transformer")
    assert one.name == "transformer"
    assert _ranges(one, graph)["latents"] == ((1, 8, 1, 4, 4), (1, 8, 3, 4, 6), (1, 8, 3, 6, 6))
    assert _ranges(one, graph)["cache"] == ((2, 2, 2, 0, 24), (2, 2, 2, 24, 24), (2, 2, 2, 24, 24))


def test_sizes_that_are_one_in_latents_share_a_plan(tiny_folder: Path) -> None:
    shapes = read_shapes(tiny_folder, frame_sizes=((96, 64), (96, 60)))
    options = build.options_for(tiny_folder, "sm89", profiles="each", shapes=shapes)
    assert [spec.name for spec in plan_specs(options, "vae_next")] == ["vae_next-4x6"]


def test_each_shape_has_a_plan_of_its_own(
    tiny_folder: Path,
    library: Library,
    exported: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exports: list[str] = []
    percentages: list[int] = []

    def export(options: Options, name: str, path: Path, *, fused_attention: bool) -> None:
        exports.append(name)
        exported(options, name, path, fused_attention=fused_attention)

    monkeypatch.setattr(build, "_export", export)
    monkeypatch.setattr(cache, "report", lambda _, percent: percentages.append(percent))
    shapes = read_shapes(tiny_folder, frame_sizes=SIZES, blocks=((1, 0), (3, 4)))
    options = build.options_for(tiny_folder, "sm89", precision="bf16", profiles="each", shapes=shapes)
    built: list[build.Built] = []
    folder = build.build(options, library, root=tmp_path, observe=built.append, processes=1)
    steps = ["transformer-1x4x6+0", "transformer-1x6x4+0", "transformer-3x4x6+4", "transformer-3x6x4+4"]
    assert [path.stem for path in plan_files(folder, "transformer")] == steps
    assert [path.stem for path in plan_files(folder, "vae_first")] == ["vae_first-4x6", "vae_first-6x4"]
    assert [path.stem for path in plan_files(folder, "vae_next")] == ["vae_next-4x6", "vae_next-6x4"]
    assert [path.stem for path in plan_files(folder, "text_encoder")] == ["text_encoder"]
    assert [path.stem for path in plan_files(folder, "text_keys_values")] == ["text_keys_values"]
    assert {f"{engine.name}.plan" for engine in built} == {path.name for path in folder.glob("*.plan")}
    assert exports == list(GRAPHS)
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert set(files) == {path.name for path in folder.glob("*.plan")}
    made_of = build.facts(options, library)
    assert cache.find_fault(options.name, made_of, root=tmp_path) is None
    (folder / f"{steps[2]}.plan").unlink()
    assert cache.find_fault(options.name, made_of, root=tmp_path) == f"damaged file {steps[2]}.plan"


def test_a_layered_transformer_has_plans_of_a_layers_parts(
    tiny_folder: Path, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each length of a block, whatever its context; none of them has weights. Exported by two processes."""
    shapes = read_shapes(tiny_folder, frame_sizes=SIZES[:1], blocks=((1, 0), (3, 1), (3, 4)))
    options = build.options_for(tiny_folder, "sm89", profiles="each", shapes=shapes, layered=True)
    monkeypatch.setattr(Options, "graphs", LAYER_PARTS)
    folder = build.build(options, library, root=tmp_path, processes=2)
    names = [f"{part}-{frames}x4x6" for part in sorted(LAYER_PARTS) for frames in (1, 3)]
    assert sorted(path.stem for path in folder.glob("*.plan")) == names
    whole = replace(options, layered=False)
    assert cache.find_fault(options.name, build.facts(whole, library), root=tmp_path) == (
        "stale: transformer was layer by layer, is whole"
    )
    assert is_layered(folder)


def test_only_large_models_without_fp8_are_layered(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def options(**given: float) -> Options:
        return build.options_for(tiny_folder, "sm89", **given)

    assert not options().layered
    assert options().graphs == GRAPHS
    monkeypatch.setattr(build, "_LARGE_BYTES", 1)
    assert options().layered
    assert options().graphs == ("text_encoder", "layer_before", "layer_after", "vae_first", "vae_next")
    assert not options(fp8_error=0.05).layered


def test_entries_of_other_profiles_and_sizes_are_apart(tiny_folder: Path, tmp_path: Path) -> None:
    static = [read_shapes(tiny_folder, frame_sizes=sizes) for sizes in (SIZES[:1], SIZES)]
    every = [build.options_for(tiny_folder, "sm89", profiles="each", shapes=shapes).name for shapes in static]
    assert "-static-96x64-" in every[0]
    assert "-static-96x64-64x96-" in every[1]
    every.append(build.options_for(tiny_folder, "sm89").name)
    for name in every:
        (tmp_path / "kernels").mkdir(exist_ok=True)
        (tmp_path / "kernels" / f"{name}-transformer.bin").touch()
    for number, name in enumerate(every, 1):
        cache.remove(name, root=tmp_path)
        assert len(list((tmp_path / "kernels").iterdir())) == len(every) - number


def test_the_command_line_carries_every_option(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = read_shapes(tiny_folder, frame_sizes=SIZES, blocks=((1, 0), (3, 4)))
    options = build.options_for(tiny_folder, "sm89", precision="bf16", profiles="each", shapes=shapes, fp8_error=0.05)
    options = replace(options, layered=True)
    seen: list[Options] = []
    monkeypatch.setattr(build, "build", lambda options, *_, **__: seen.append(options))
    assert build.main(build._arguments(options, tmp_path)) == 0
    assert seen == [replace(options, checkpoint=tiny_folder.resolve())]


@pytest.mark.parametrize(
    ("backend", "sizes"), [("tensorrt", None), ("tensorrt", SIZES[:1]), ("tensorrt-fp8", SIZES[:1])]
)
def test_sizes_that_are_asked_for_have_static_plans_and_fp8_has_its_own(
    tiny_checkpoint: Checkpoint,
    library: Library,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    sizes: tuple[tuple[int, int], ...] | None,
) -> None:
    """As on a GPU, up to where one is needed."""
    seen: list[Options] = []

    def build_in_child(options: Options, *_: object, **__: object) -> None:
        seen.append(options)
        raise EngineError("far enough")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: GPU.capability)
    monkeypatch.setattr("engines.gpu.why_no_tensorrt", lambda _: None)
    monkeypatch.setattr("engines.gpu.find_gpu", lambda: GPU)
    monkeypatch.setattr("engines.tensorrt_library.library_for", lambda _: library)
    monkeypatch.setattr(build, "build_in_child", build_in_child)
    with pytest.raises(EngineError, match="far enough"):
        load_engines(tiny_checkpoint, backend, frame_sizes=sizes)
    (options,) = seen
    assert options.fp8_error == (FP8_ERROR if backend == "tensorrt-fp8" else None)
    assert options.profiles == ("one" if sizes is None else "each")
    assert options.shapes.frame_sizes == (build.FRAME_SIZES if sizes is None else sizes)


def test_graphs_can_be_exported_ahead(
    tiny_folder: Path,
    shapes: Shapes,
    library: Library,
    quick: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs, name = tmp_path / "graphs", "text_keys_values"
    assert build.main(["--model", str(tiny_folder), "--graphs", str(graphs), "--export", name]) == 0
    assert quick == []
    monkeypatch.delattr(build, "_export")
    options = build.options_for(tiny_folder, "sm89", shapes=shapes)
    folder = build.build(options, library, root=tmp_path / "plans", graphs=graphs)
    assert [path.name for path in folder.glob("*.plan")] == [f"{name}.plan"]
    assert [path.name for path in graphs.iterdir()] == [f"{name}.onnx"]


def test_unknown_target_says_which_there_are(
    tiny_folder: Path, shapes: Shapes, library: Library, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"'sm90'.*sm86.*sm89"):
        build.build(build.options_for(tiny_folder, "sm90", shapes=shapes), library, root=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """`build` with one small engine that is really made, so that its faults can be tried quickly."""
    made: list[str] = []
    really = build.compile_plan

    def compile_plan(options: Options, library: Library, spec: PlanSpec, onnx: Path, plan: Path) -> None:
        made.append(spec.name)
        really(options, library, spec, onnx, plan)

    monkeypatch.setattr(build, "compile_plan", compile_plan)
    monkeypatch.setattr(Options, "graphs", ("text_keys_values",))
    return made


@pytest.mark.parametrize("fault", ["truncated", "checkpoint", "version", "half made"])
def test_faults_are_found_and_mended(
    tiny_folder: Path,
    shapes: Shapes,
    library: Library,
    tmp_path: Path,
    quick: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    checkpoint = Path(shutil.copytree(tiny_folder, tmp_path / "checkpoint"))
    root = tmp_path / "plans"
    options = build.options_for(checkpoint, "sm89", shapes=shapes)
    folder = build.build(options, library, root=root)
    plan = folder / "text_keys_values.plan"
    whole = plan.read_bytes()
    if fault == "truncated":
        plan.write_bytes(whole[: len(whole) // 2])
        expected = "damaged file text_keys_values.plan"
    elif fault == "checkpoint":
        weights = next((checkpoint / "transformer").glob("*.safetensors"))
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        expected = "stale: checkpoint was"
    elif fault == "version":
        monkeypatch.setattr(Library, "version", property(lambda _: "1.7.0.1"))
        expected = "stale: version was 1.6.1.120, is 1.7.0.1"
    else:
        (folder / "manifest.json").unlink()
        expected = "incomplete"
    with caplog.at_level(logging.WARNING, logger="engines.cache"):
        assert build.build(options, library, root=root) == folder
    (line,) = (record.getMessage() for record in caplog.records if record.name == "engines.cache")
    assert expected in line
    assert len(quick) == 2
    assert plan.stat().st_size >= len(whole) // 2 + 1
    assert cache.find_fault(options.name, build.facts(options, library), root=root) is None


def test_a_build_killed_half_way_leaves_nothing_that_is_used(
    tiny_folder: Path, shapes: Shapes, library: Library, tmp_path: Path, quick: list[str]
) -> None:
    """A real build in a process of its own, killed without warning while it is at work."""
    options = build.options_for(tiny_folder, "sm89", shapes=shapes)
    sizes = [f"{w}x{h}" for w, h in SIZES]
    command = [sys.executable, "-m", "engines.build", "--target", "sm89", "--out", str(tmp_path)]
    child = subprocess.Popen([*command, "--model", str(tiny_folder), "--size", *sizes], cwd=ROOT)
    deadline = time.monotonic() + 120
    while cache.making_percent(root=tmp_path) is None:
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert [path.name.startswith(".making-") for path in tmp_path.iterdir()] == [True]
    assert cache.making_percent(root=tmp_path) is None
    assert cache.find_fault(options.name, root=tmp_path) == "not there"
    folder = build.build(options, library, root=tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
    assert quick == ["text_keys_values"]


def test_a_child_can_be_stopped(tiny_folder: Path, shapes: Shapes, library: Library, tmp_path: Path) -> None:
    options = build.options_for(tiny_folder, "sm89", shapes=shapes)
    seen: list[int] = []
    with pytest.raises(EngineError, match="stopped"):
        build.build_in_child(options, library, root=tmp_path, observe=seen.append, stop=lambda: bool(seen))
    assert seen
    assert cache.making_percent(root=tmp_path) is None


def test_a_child_that_fails_says_why(tiny_folder: Path, shapes: Shapes, library: Library, tmp_path: Path) -> None:
    options = build.options_for(tiny_folder, "sm90", shapes=shapes)
    with pytest.raises(EngineError, match=r"exit 1.*'sm90'"):
        build.build_in_child(options, library, root=tmp_path)
