"""The page as data: wording, controls, presets, checks, start-up, flags. What a browser makes of it: tests/browser."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import gzip
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import pytest

import styles
from app import parse_args
from pipeline.blocks import Grid
from pipeline.errors import Cancelled, CheckpointError, RequestError, WanError
from pipeline.progress import Observe, Progress, Stop
from pipeline.request import FPS, SECONDS, SIZES, VideoRequest
from styles.observation import FixKind
from web import checklist, controls, presets, runtime, texts, ui
from web.checks import size_check, style_check
from web.job_state import State
from web.memory import MemorySample

CHECKS = ("driver", "tensorrt", "encoder", "model", "disk")
ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "assets").glob("*.js"))}


def test_both_languages_say_everything() -> None:
    tables = texts.catalogue()
    assert tables["zh"].keys() == tables["en"].keys()
    assert all(tables["zh"].values())
    assert all(tables["en"].values())
    for key, sentence in tables["zh"].items():
        names = re.findall(r"\{(\w+)\}", sentence)
        assert sorted(names) == sorted(re.findall(r"\{(\w+)\}", tables["en"][key])), key


def test_an_unknown_sentence_is_refused() -> None:
    with pytest.raises(KeyError):
        texts.label("no_such_sentence")


def test_every_sentence_is_used_and_every_used_one_exists() -> None:
    """A key is used as a literal, or built from one of the few stems below."""
    python = [
        path.read_text(encoding="utf-8") for path in (ROOT / "web").glob("*.py") if not path.name.startswith("texts")
    ]
    literals = set(re.findall(r'"([a-z][a-z_]*)"', "\n".join([*python, *SOURCES.values()])))
    built = {f"state_{state}" for state in State} | {f"badge_{state}" for state in State if state != "done"}
    built |= {"generate_tip", "reveal_tip", "empty_cancelled", "empty_failed", "empty_interrupted"}
    built |= {f"part_{kind}" for kind in styles.PART_KINDS} | {f"fix_{kind}" for kind in get_args(FixKind)}
    built |= {f"check_{key}" for key in CHECKS} | {f"check_level_{level}" for level in get_args(checklist.Level)}
    reasons = [(level, reason) for level in ("amber", "red") for reason in ("memory", "time")]
    built |= {"forecast_green", *(f"forecast_{level}_{reason}" for level, reason in reasons)}
    built |= {f"forecast_sure_{reason}" for _, reason in reasons}
    built |= {f"curve_{field.name}" for field in dataclasses.fields(MemorySample)}
    known = set(texts.catalogue()["zh"])
    assert known <= literals | built
    for source in SOURCES.values():
        assert set(re.findall(r'\bt\("([a-z_]+)"', source)) <= known


def test_every_control_of_a_request_is_there() -> None:
    named = set(controls.VALUES) | {"width", "height", "num_inference_steps", "prompt_changes", "earlier_seconds"}
    fields = set(VideoRequest.__dataclass_fields__)
    assert fields <= named
    assert set(ui.FIELDS) >= fields | {"size", "preset"}
    for props in controls.WORDING.values():
        assert set(props.values()) <= set(texts.catalogue()["zh"])


def test_the_page_offers_what_a_request_allows() -> None:
    page = build_page()
    by_id = {block.elem_id: block for block in page.blocks.values() if getattr(block, "elem_id", None)}
    assert [value for _, value in by_id["wan-size"].choices] == [f"{w}×{h}" for w, h in SIZES]
    assert [value for _, value in by_id["wan-seconds"].choices] == list(SECONDS)
    assert [value for _, value in by_id["wan-fps"].choices] == list(FPS)
    assert [value for _, value in by_id["wan-style"].choices] == ["", *styles.load_styles()]
    assert by_id["wan-guidance"].value == 7.0
    assert by_id["wan-denoise"].value == 0.75
    assert by_id["wan-seed"].value == -1
    assert by_id["wan-batch"].value == 1
    assert by_id["wan-prompt"].value == styles.load_examples()[0].prompt_zh


def build_page(**options: Any) -> Any:
    # Within a loop: without one, Gradio opens several that it never closes.
    async def build() -> Any:
        return ui.build(styles.load_styles(), styles.load_examples(), False, lambda: None, **options)

    return asyncio.run(build())


def test_sizes_without_engines_are_not_on_offer() -> None:
    page = build_page(sizes=((1280, 720), (576, 1024)))
    (size,) = (block for block in page.blocks.values() if getattr(block, "elem_id", None) == "wan-size")
    assert [value for _, value in size.choices] == ["1280×720", "576×1024"]
    assert size.value == "1280×720"
    check = size_check(((1280, 720), (576, 1024)))
    check(VideoRequest(prompt="猫", width=576, height=1024))
    with pytest.raises(RequestError, match="size") as refused:
        check(VideoRequest(prompt="猫", width=768, height=432))
    assert "1280×720, 576×1024" in refused.value.message_zh
    assert "768×432" in refused.value.message_en


def test_our_scripts_are_small_and_whole() -> None:
    shipped = ui.script()
    assert len(gzip.compress(shipped.encode())) <= 40_000, "as it is transferred: the page is sent compressed"
    # `script` cuts by lines, which is right as long as no literal spans several.
    assert all(line.count("`") % 2 == 0 for source in SOURCES.values() for line in source.splitlines())
    code = [line.strip() for source in SOURCES.values() for line in source.splitlines()]
    assert {line for line in shipped.splitlines() if line} <= set(code)
    assert set(ui.SCRIPTS) == set(SOURCES)


def test_the_head_ends_no_script_early() -> None:
    head = ui.head(styles.load_styles(), styles.load_examples())
    assert head.count("</script>") == head.count("<script>") == 2
    told = re.search(r"window\.wan = \{ setup: (.*) \};</script>", head)
    assert told
    setup = json.loads(told[1])
    assert setup["values"] == list(controls.VALUES)
    assert setup["presets"].keys() == presets.PRESETS.keys()


# -- presets -----------------------------------------------------------------------------------------------------------


def test_the_two_presets() -> None:
    full, light = presets.PRESETS[presets.FULL], presets.PRESETS[presets.LIGHT]
    assert (full["width"], full["height"], full["seconds"]) == (1280, 720, 6)
    assert (light["width"], light["height"], light["seconds"]) == (768, 432, 4)
    assert presets.default_preset(True) == presets.FULL
    assert presets.default_preset(False) == presets.LIGHT
    for fields in presets.PRESETS.values():
        assert presets.check(dict(fields)) == fields


def test_a_saved_preset_comes_back(tmp_path: Path) -> None:
    request = VideoRequest(prompt="猫", style="Oil Painting", seed=5)
    path = tmp_path / "mine.json"
    path.write_text(request.to_json(), encoding="utf-8")
    assert VideoRequest.from_mapping(presets.read(path)) == request


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"not json", "preset"),
        (b"[1]", "preset"),
        (b"\xff\xfe", "preset"),
        (b'{"fps": 25}', "fps"),
        (b'{"colour": "red"}', "colour"),
        (b'{"prompt": ""}', "prompt"),
        (b" " * (presets.MAX_PRESET_BYTES + 1), "preset"),
    ],
)
def test_a_bad_preset_says_what_is_wrong(tmp_path: Path, content: bytes, field: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(RequestError) as raised:
        presets.read(path)
    assert raised.value.field == field
    answer = ui.load_preset(str(path))
    assert answer
    assert answer["error"]["field"] == field


def test_a_file_that_is_no_mp4_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"nothing of the kind")
    answer = ui.load_preset(str(path))
    assert answer
    assert answer["error"]["field"] == "preset"
    assert ui.load_preset(None) is None


# -- checks ------------------------------------------------------------------------------------------------------------


def test_a_request_is_checked_before_it_is_queued() -> None:
    check = style_check(styles.load_styles())
    check(VideoRequest(prompt="(猫:1.2)", style="Oil Painting"))
    with pytest.raises(RequestError) as unknown:
        check(VideoRequest(prompt="猫", style="Nobody"))
    assert unknown.value.field == "style"
    with pytest.raises(RequestError) as malformed:
        check(VideoRequest(prompt="(猫:1.2"))
    assert malformed.value.field == "prompt"
    assert "第 1 个字符" in malformed.value.message_zh
    with pytest.raises(RequestError) as negative:
        check(VideoRequest(prompt="猫", negative_prompt="(狗"))
    assert negative.value.field == "negative_prompt"


# -- start-up ----------------------------------------------------------------------------------------------------------


class Loaded:
    """What a start-up needs of a model."""

    backend = "eager float32"
    grid = Grid(scale_spatial=16, scale_temporal=4, patch=2, first_block=1, block=3, sink=1, window=3)
    spec = SimpleNamespace(name="tiny", guidance_scale=1.0, num_inference_steps=4, grid=grid)
    sizes = None
    engines = SimpleNamespace(no_tensorrt=None, passed_over=None)


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Prompts of the clips that were begun, and how many blocks were made, in place of the walk itself."""
    begun: list[tuple[str, int]] = []

    def stream(
        request: VideoRequest, _: Any, *, known_styles: object, stop: Stop, observe: Observe, **_o: object
    ) -> Iterator[Any]:
        assert known_styles is None
        begun.append((request.prompt, 0))
        for block in range(9):
            observe(Progress("decode", block, 9, 0, 0, block))
            if stop():
                raise Cancelled
            begun[-1] = (request.prompt, block + 1)
            yield block

    monkeypatch.setattr("pipeline.stream", stream, raising=False)
    return begun


def started(load: Any) -> runtime.Runtime:
    made = runtime.Runtime(lambda _: load(), VideoRequest(prompt="warm up", seed=0))
    assert made.status()["stage"] == "starting"
    ended = threading.Event()
    made.start(then=ended.set)
    assert ended.wait(30)
    return made


def test_ready_after_a_block_of_every_shape(walk: list[tuple[str, int]]) -> None:
    made = started(lambda: cast("Any", Loaded()))
    status = made.status()
    assert status["ready"]
    assert (status["model"], status["backend"]) == ("tiny", "eager float32")
    assert status["defaults"] == {"guidance": 1.0, "steps": 4}
    assert status["encoder"] in ("libx264", "h264_nvenc")
    assert walk == [("warm up", 3)]
    pieces = made.produce(VideoRequest(prompt="球", seed=1), lambda: False, lambda _: None)
    assert len(list(pieces)) == 9


def test_a_model_that_does_not_load_is_told_and_fails_jobs_with_the_reason() -> None:
    def load() -> Any:
        raise CheckpointError("missing file: embedded/model_index.json")

    made = started(load)
    status = made.status()
    assert not status["ready"]
    assert status["stage"] == "failed"
    assert status["stage_zh"] == "模型载入失败：missing file: embedded/model_index.json"
    with pytest.raises(WanError, match="model_index"):
        list(made.produce(VideoRequest(prompt="球"), lambda: False, lambda _: None))


@pytest.mark.parametrize(
    ("gpu", "backend", "on", "reason"),
    [
        (None, "eager", False, "no NVIDIA GPU"),
        (runtime.Gpu("RTX 4090", (535, 54, 2), (8, 9)), "compile", False, "driver 535.54.2 is older than 535.54.03"),
        (runtime.Gpu("RTX 4090", (535, 54, 3), (8, 9)), "tensorrt-rtx fp16", True, ""),
    ],
)
def test_what_the_status_bar_says_of_tensorrt(gpu: runtime.Gpu | None, backend: str, on: bool, reason: str) -> None:
    state = runtime.tensorrt_state(gpu, backend)
    assert (state.on, state.reason_en) == (on, reason)
    assert bool(state.reason_zh) is not on


def test_tensorrt_is_off_where_its_library_is_missing_or_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = runtime.Gpu("RTX 4090", (570, 1), (8, 9))
    monkeypatch.setattr(runtime.cache, "making_percent", lambda: None)  # another app may be building in this checkout
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "not installed" in runtime.tensorrt_state(gpu, "compile").reason_en
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert runtime.tensorrt_state(gpu, "compile").reason_en == "running on compile"
    assert runtime.tensorrt_state(gpu, "").reason_en == "still starting"
    monkeypatch.setattr("engines.cache.making_percent", lambda: 40)
    assert runtime.tensorrt_state(gpu, "").reason_en == "building the engines, 40 %"
    failed = runtime.Reason("engine transformer: refused", "引擎 transformer：被拒绝")
    assert runtime.tensorrt_state(gpu, "compile", failed).reason_zh == "引擎 transformer：被拒绝"


# -- the entry ---------------------------------------------------------------------------------------------------------


def test_flags() -> None:
    args = parse_args([])
    assert (args.host, args.port, args.share, args.auth, args.model, args.backend) == (
        None,
        None,
        False,
        None,
        None,
        "auto",
    )
    args = parse_args(["--listen", "--port", "8000", "--auth", "a:b:c", "--auth", "d:e", "--share"])
    assert (args.host, args.port, args.auth, args.share) == ("0.0.0.0", 8000, [("a", "b:c"), ("d", "e")], True)
    assert not args.rebuild_engines
    assert parse_args(["--rebuild-engines", "--backend", "torch"]).rebuild_engines
    assert args.engines_for is None
    assert parse_args(["--engines-for", "1280x720", "768x432"]).engines_for == [(1280, 720), (768, 432)]
    for wrong in (["--auth", "nobody"], ["--backend", "cuda"], ["--engines-for", "1280x704"]):
        with pytest.raises(SystemExit):
            parse_args(wrong)


def test_the_page_is_up_before_torch_is_imported() -> None:
    loaded = "import sys, web.service, web.runtime; print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []
