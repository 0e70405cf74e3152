"""The judges: what they are asked, what they are shown, and that they learn it; on the smallest networks."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan

from bench.judges import __main__ as command
from bench.judges import render
from bench.judges.labels import FPS, FRAME_OFFSETS, HEADS, HEIGHT, UNDEFINED, WIDTH, labels, truth, visible
from bench.judges.network import Judge, fingerprint, load_judge, save_judge
from bench.judges.train import Pool, augment, loss_of, shards
from tests import tiny
from training import world
from training.scene import Scene, is_held_out

CPU = torch.device("cpu")
WINDOW = torch.tensor([FRAME_OFFSETS]) / FPS
TINY = (8, 8, 8, 8)


def test_truth_leaves_out_what_the_scene_does_not_define() -> None:
    assert truth(Scene("cheetah", "natural", scene="desert")).keys() == {
        "subject", "count", "scene", "time_of_day", "weather", "direction", "style",
    }  # fmt: skip
    assert "weather" not in truth(Scene("cat", "red", scene="cafe"))
    assert truth(Scene("none", "natural", scene="forest")).keys() == {
        "subject",
        "scene",
        "time_of_day",
        "weather",
        "style",
    }
    assert "direction" not in truth(Scene("balloon", motion="drift"))
    assert "direction" not in truth(Scene("ball", motion="left", camera="follow"))
    assert truth(Scene("bird", motion="rise"))["direction"] == "up"
    paces = {pace: truth(Scene(motion="left", pace=pace)).get("speed") for pace in (1.1, 1.6, 2.2)}
    assert paces == {1.1: "slow", 1.6: None, 2.2: "fast"}
    assert "speed" not in truth(Scene(motion="jump", pace=2.2))


def test_every_true_value_is_a_class() -> None:
    scenes, _ = render.sample(random.Random(0), 400, held_out=False)
    for scene in scenes:
        assert all(value in HEADS[head] for head, value in truth(scene).items())


def test_a_subject_outside_the_frame_has_no_label() -> None:
    scene = Scene("ball", "red", motion="right", x=-0.45, pace=2.0)
    times = torch.linspace(0.0, 4.0, 33)[:, None]
    members, group = visible([scene] * 33, times)
    assert members[0] == 1.0
    assert members.min() < 0.6  # it crosses the frame's edge within four seconds
    rows = labels([scene] * 33, times)
    colour = list(HEADS).index("colour")
    assert ((rows[:, colour] == UNDEFINED) == (members < 0.6)).all()
    assert (group <= members).all()
    assert (rows[:, list(HEADS).index("scene")] != UNDEFINED).all()


def test_visibility_is_what_the_picture_shows() -> None:
    """Where a red ball counts as visible there is red in the frame, and where not there is hardly any."""
    scene = Scene("ball", "red", motion="right", x=-0.45, pace=2.0)
    starts = torch.linspace(0.0, 4.0, 33)
    clips, _ = render.draw([scene] * 33, starts, CPU)
    red = ((clips[:, 0, 0].int() - clips[:, 0, 1].int()) > 90).float().mean((1, 2))
    members, _ = visible([scene] * 33, starts[:, None])
    assert red[members > 0.95].min() > red[members < 0.4].max()


def test_drawing() -> None:
    scenes, starts = render.sample(random.Random(1), 3, held_out=True)
    assert all(is_held_out(scene) for scene in scenes)
    clips, answers = render.draw(scenes, starts, CPU)
    large = world.render(scenes, starts[:, None], height=4 * HEIGHT, width=4 * WIDTH, device=CPU)
    assert clips.shape == (3, len(FRAME_OFFSETS), 3, HEIGHT, WIDTH)
    assert clips.dtype == torch.uint8
    assert (clips[:, 0].float() - render.to_judge(large[:, :, 0]).float()).abs().mean() < 1.0
    assert answers.shape == (3, len(HEADS))


def test_a_round_trip_keeps_the_labels_and_loses_detail() -> None:
    autoencoder: AutoencoderKLWan = tiny.vae().requires_grad_(False)
    scenes, starts = [Scene("ball", "red"), Scene("cat", "blue", scene="sea")], torch.tensor([0.0, 3.0])
    clips, answers = render.draw_through(autoencoder, scenes, starts, CPU, (96, 64))
    direct, expected = render.draw(scenes, starts, CPU)
    assert clips.shape == direct.shape
    assert torch.equal(answers, expected)
    assert (clips.float() - direct.float()).abs().mean() > 5.0  # random weights


def test_augmentation_keeps_pictures_recognisable() -> None:
    scenes, starts = render.sample(random.Random(2), 5, held_out=False)
    clips, _ = render.draw(scenes, starts, CPU)
    changed = augment(clips)
    assert changed.shape == clips.shape
    assert 0.0 <= changed.min() <= changed.max() <= 1.0
    assert not torch.equal(changed, clips / 255.0)
    for one, other in zip(clips.float() / 255.0, changed, strict=True):
        assert (one.mean((0, 2, 3)) - other.mean((0, 2, 3))).abs().max() < 0.12  # no colour becomes another
    assert augment(clips[:1]).shape == clips[:1].shape


def test_undefined_answers_have_no_loss() -> None:
    logits = {head: torch.randn(2, len(classes), requires_grad=True) for head, classes in HEADS.items()}
    answers = torch.zeros(2, len(HEADS), dtype=torch.int8)
    answers[:, 1] = UNDEFINED
    loss_of(logits, answers).backward()
    assert logits["colour"].grad is None or not logits["colour"].grad.any()
    assert logits["subject"].grad is not None
    assert logits["subject"].grad.any()


def test_a_pool_is_a_ring() -> None:
    pool = Pool(4, CPU)
    with pytest.raises(ValueError, match="empty"):
        pool.take(1)
    for value in range(3):
        pool.add(torch.full((2, 1), value, dtype=torch.uint8), torch.full((2, 1), value, dtype=torch.int8))
    clips, answers = pool.take(64)
    assert set(clips.flatten().tolist()) == {1, 2}
    assert torch.equal(clips.flatten().int(), answers.flatten().int())


def test_a_judge_learns_its_clips() -> None:
    torch.manual_seed(0)
    scenes = [Scene("ball", colour) for colour in ("red", "blue", "green", "white")]
    clips, answers = render.draw(scenes, torch.zeros(4), CPU)
    judge = Judge(TINY)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(25):
        loss = loss_of(judge(clips.float() / 255.0)[0], answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_files(tmp_path: Path) -> None:
    judge, path = Judge(TINY).eval(), tmp_path / "judge.safetensors"
    with pytest.raises(FileNotFoundError, match="no judge yet"):
        load_judge(CPU, path)
    save_judge(judge, path)
    loaded = load_judge(CPU, path)
    clips = torch.randint(0, 256, (3, len(FRAME_OFFSETS), 3, HEIGHT, WIDTH), dtype=torch.uint8)
    one, other = judge.read(clips), loaded.read(clips, batch=2)
    for head, classes in HEADS.items():
        assert one.log_probabilities[head].shape == (3, len(classes))
        torch.testing.assert_close(one.log_probabilities[head], other.log_probabilities[head], atol=2e-2, rtol=0)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert len(fingerprint(path)) == 12
    with pytest.raises(ValueError, match="uint8"):
        judge.read(clips.float())


def test_the_shipped_size_fits_into_the_repository(tmp_path: Path) -> None:
    save_judge(Judge(), tmp_path / "judge.safetensors")
    assert (tmp_path / "judge.safetensors").stat().st_size <= 8 * 2**20


def test_from_nothing_to_an_evaluated_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WIDTHS", TINY)
    monkeypatch.setattr(render, "SHARD_CLIPS", 6)
    monkeypatch.setattr(render, "TRUE_SIZE", (96, 64))
    folder = tiny.save(tmp_path / "tiny")
    render.fill(tmp_path / "cache", 12, seed=0)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert next(shards(tmp_path / "cache", random.Random(0)))[0].shape[0] == 6
    out, state = tmp_path / "judge.safetensors", tmp_path / "state.pt"
    common = ["--cache", str(tmp_path / "cache"), "--state", str(state), "--out", str(out), "--model", str(folder)]
    common += ["--clips", "6", "--through-clips", "1", "--through", "1", "--first", "6", "--batch", "4"]
    for part in (("0", "0.5"), ("0.5", "1")):
        monkeypatch.setattr(
            "sys.argv", ["judges", "train", "--minutes", "5", "--max-steps", "2", *common, "--part", *part]
        )
        command.main()
    found = json.loads(out.with_suffix(".json").read_text())
    assert found["judge"] == fingerprint(out)
    assert found["accuracy"].keys() <= HEADS.keys()
    assert found["accuracy_through_vae"]
    assert load_judge(CPU, out).widths == TINY


def test_labels_do_not_depend_on_the_neighbours() -> None:
    scenes, starts = render.sample(random.Random(4), 6, held_out=False)
    together = labels(scenes, starts[:, None] + WINDOW)
    for row, scene in enumerate(scenes):
        assert torch.equal(labels([dataclasses.replace(scene)], starts[row, None, None] + WINDOW)[0], together[row])
