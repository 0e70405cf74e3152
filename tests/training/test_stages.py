"""All stages one after another on tiny networks: what they write is read by the next one and by diffusers' pipeline."""

from __future__ import annotations

import json
import random
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline

from training import (
    config,
    distill,
    graft,
    matching,
    narrow,
    pack,
    paraphrase,
    reward,
    samples,
    text_encoder,
    tokenizer,
    transformer,
    unpack,
    vae,
    widen,
)
from training.captions import corpus
from training.flow import timesteps
from training.sampler import schedule
from training.session import load


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = {"num_attention_heads": 2, "attention_head_dim": 16}
    monkeypatch.setattr(config, "VAE", config.VAE | {"base_dim": 8, "decoder_base_dim": 8})
    monkeypatch.setattr(
        config, "TRANSFORMER", config.TRANSFORMER | attention | {"ffn_dim": 32, "num_layers": 2, "text_dim": 16}
    )
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    monkeypatch.setattr(config, "TEXT_ENCODER", config.TEXT_ENCODER | sizes)
    monkeypatch.setattr(transformer, "PERIOD", 4)
    monkeypatch.setattr(vae, "PERIOD", 1)


def _run(monkeypatch: pytest.MonkeyPatch, stage: object, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["stage", *map(str, arguments)])
    stage.main()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("tiny")
@pytest.mark.filterwarnings("default")
def test_from_nothing_to_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = tmp_path / "tokenizer"
    tokenizer.pack(tokenizer.train(islice(corpus(random.Random(0), 300), 2000), vocab_pieces=1200), words)
    run = ("--folder", tmp_path, "--minutes", 5)
    _run(monkeypatch, text_encoder, *run, "--tokenizer", words, "--max-steps", 2, "--batch", 4, "--workers", 0)
    for share in (1.0, 0.0):  # of reading, of staying
        monkeypatch.setattr(text_encoder, "READING_SHARE", share)
        text = (*run, "--tokenizer", words, "--max-steps", 2, "--batch", 4, "--workers", 0)
        _run(monkeypatch, text_encoder, *text, "--resume")
    small = ("--sizes", "64x64", "--crop", 64, "--clips", 1, "--capacity", 2, "--frames", 5)
    _run(monkeypatch, vae, *run, "--max-steps", 1, *small)
    narrowed = tmp_path / "narrow"
    _run(monkeypatch, narrow, *run[:2], "--tokenizer", words, "--out", narrowed, "--size", "64x64", "--drawings", 1)
    (narrowed / "vae.pt").replace(tmp_path / "vae.pt")
    drawn = ("--tokenizer", words, "--sizes", "64x64", "64x96", "96x64", "--clips", 1, "--captions", 2, "--workers", 0)
    drawn = (*drawn, "--images", 2, "--copies", 2, "--tokens", 40, "--capacity", 8, "--first-seconds", 0)
    _run(monkeypatch, transformer, *run, *drawn, "--compile-only")
    _run(monkeypatch, transformer, *run, *drawn, "--max-steps", 8, "--small-until", 0, "--images-until", 0)
    few = ("--tokenizer", words, "--sizes", "64x64", "--tokens", 40, "--clips", 1, "--drawings", 1, "--workers", 0)
    _run(monkeypatch, vae, *run, "--max-steps", 1, *small, "--decoder-only", "--emphasis", 4)
    _run(monkeypatch, distill, *run, *few, "--max-steps", 4, "--substeps", 2, "--steps", 2, "--critic", 0.5)
    for more in ((), ("--resume",)):
        _run(monkeypatch, reward, *run, *few, "--max-steps", 10, "--captions", 8, *more)
    matched = ("--max-steps", 8, "--steps", 2, "--resume", "few", "--ahead", 2, "--fake-first", 2)
    matched = (*matched, "--reward", 0.5, "--stress", 2)
    _run(monkeypatch, matching, *run, *few, *matched)
    packed = tmp_path / "packed"
    _run(monkeypatch, pack, "--folder", tmp_path, "--networks", "few", "--tokenizer", words, "--out", packed)

    pipeline = WanPipeline.from_pretrained(packed)
    assert {pipeline.vae.dtype, pipeline.transformer.dtype, pipeline.text_encoder.dtype} == {torch.float32}
    assert json.loads((packed / "streaming.json").read_text())["block_latents"] == config.BLOCK_LATENTS
    shown = pipeline("一只红色的球", height=64, width=64, num_frames=5, num_inference_steps=2, output_type="pt")
    assert shown.frames.shape == (1, 5, 3, 64, 64)
    again = tmp_path / "again"
    teacher = tmp_path / "teacher"
    kept = ("--reward", tmp_path / "reader")
    _run(monkeypatch, pack, "--folder", tmp_path, "--tokenizer", words, "--out", teacher, *kept)
    back = ("--teacher", teacher / "transformer", "--folder", again, "--tokenizer", again / "tokenizer", *kept)
    _run(monkeypatch, unpack, "--checkpoint", packed, *back)
    for name in ("vae.pt", "few/transformer.pt", "flow/transformer.pt", "flow/text_encoder.pt"):
        old = load(tmp_path / name)["weights"]
        new = load(again / name)["weights"]
        assert old.keys() == new.keys()
        assert all(torch.equal(old[key], new[key]) for key in old)
    old, new = load(tmp_path / "reward.pt"), load(again / "reward.pt")
    for part in ("text", "sees", "clips"):
        assert old[part].keys() == new[part].keys()
        apart = 0.0 if part == "text" else 0.1  # 8 bits
        assert all(torch.allclose(old[part][key], new[part][key], rtol=apart, atol=apart / 50) for key in old[part])
    before = load(again / "few" / "text_encoder.pt")["weights"]
    said = ("--tokenizer", words, "--sizes", "64x64", "--pairs", 2, "--contrasts", 1, "--plain", 1)
    _run(
        monkeypatch, paraphrase, "--folder", again, "--minutes", 5, *said, "--stress", 2, "--max-steps", 2, "--lr", 1
    )  # seconds of five minutes
    after = load(again / "few" / "text_encoder.pt")["weights"]
    assert any(not torch.equal(before[name], after[name]) for name in before)
    more = ("--tokenizer", again / "tokenizer", *drawn[2:], "--max-steps", 4, "--small-until", 0)
    _run(monkeypatch, transformer, "--folder", again, "--minutes", 5, *more)
    wide = tmp_path / "wide"
    _run(monkeypatch, widen, "--folder", again, "--out", wide, "--channels", 14, "--encoder", 12, "--decoder", 12)
    anchored = (*small, "--noise", 0.04, "--anchor", again, "--anchor-weight", 0.1, "--styled", 0.8)
    _run(monkeypatch, vae, "--folder", wide, "--minutes", 5, "--max-steps", 1, *anchored)
    old, new = load(again / "vae.pt"), load(wide / "vae.pt")
    assert all(torch.equal(new[name][: len(old[name])], old[name]) for name in ("mean", "std"))
    _run(monkeypatch, transformer, "--folder", wide, "--minutes", 5, *more)
    _run(monkeypatch, graft, "--folder", wide, "--networks", "few", "--old", 12)
    mine, theirs = (
        load(wide / name / "transformer.pt")["weights"]["patch_embedding.weight"] for name in ("few", "flow")
    )
    assert torch.equal(mine[:, 12:], theirs[:, 12:])
    assert (
        load(wide / "vae.pt")["config"]["z_dim"]
        == load(wide / "flow" / "transformer.pt")["config"]["in_channels"]
        == 14
    )
    arguments = ("--folder", tmp_path, "--networks", "few", "--tokenizer", words, "--prompts", 1)
    _run(monkeypatch, samples, *arguments, "--size", "64x64", "--latents", 4, "--out", tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0


def test_the_packed_scheduler_is_the_euler_schedule_of_training() -> None:
    made: UniPCMultistepScheduler = pack.scheduler(3.0)
    made.set_timesteps(4)
    expected = schedule(4, 3.0)
    torch.testing.assert_close(made.sigmas.double(), torch.tensor(expected, dtype=torch.float64), atol=2e-3, rtol=0)
    assert made.timesteps.tolist() == timesteps(made.sigmas[:-1].double()).tolist()
    x, velocity = torch.randn(1, 4), torch.randn(1, 4)
    stepped = made.step(velocity, made.timesteps[0], x).prev_sample
    torch.testing.assert_close(stepped, x + (made.sigmas[1] - made.sigmas[0]) * velocity, atol=1e-5, rtol=1e-5)


def test_a_strength_below_one_cuts_the_schedule_from_its_front() -> None:
    assert schedule(4, 3.0, 0.75) == schedule(4, 3.0)[1:]
    assert schedule(4, 3.0, 0.6) == schedule(4, 3.0)[1:]
    assert schedule(4, 3.0, 0.1) == schedule(4, 3.0)[3:]
