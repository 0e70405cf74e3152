"""One module on the device at a time; what leaves comes back unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engines.checkpoint import Checkpoint
from engines.residency import Residency, Visits, turns
from engines.torch_engine import TorchTextEncoder, TorchTransformer, load
from engines.tuning import Tuning

CPU = torch.device("cpu")


def test_one_at_a_time() -> None:
    """On the CPU the device's copy is another tensor than the master."""
    residency = Residency(CPU, taking_turns=("first", "second"))
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    weight, masters = first.weight.detach().clone(), [first.weight.data_ptr(), second.weight.data_ptr()]

    def away() -> list[bool]:
        return [m.weight.data_ptr() == master for m, master in zip((first, second), masters, strict=True)]

    residency.add("first", first)
    residency.add("second", second)
    assert (residency.resident, away()) == ((), [True, True])
    residency.claim("first")
    assert (residency.resident, away()) == (("first",), [False, True])
    residency.claim("second")
    assert (residency.resident, away()) == (("second",), [True, False])
    residency.release("second")
    assert (residency.resident, away()) == ((), [True, True])
    assert torch.equal(first.weight, weight)


def test_all_together_never_leave() -> None:
    residency = Residency(CPU)
    residency.add("first", nn.Linear(2, 2))
    residency.add("second", nn.Linear(2, 2))
    residency.claim("second")
    residency.release("first")
    assert residency.resident == ("first", "second")


def test_one_that_waits_beside_one_that_stays() -> None:
    residency = Residency(CPU, taking_turns=("guest",))
    residency.add("guest", nn.Linear(2, 2))
    residency.add("host", nn.Linear(2, 2))
    assert residency.resident == ("host",)
    residency.claim("guest")
    assert residency.resident == ("host", "guest")
    residency.claim("host")
    residency.release("guest")
    assert residency.resident == ("host",)


def test_taking_turns_changes_no_result(tiny_checkpoint: Checkpoint) -> None:
    all_of_them = ("text_encoder", "transformer")
    together, in_turn = (load(tiny_checkpoint, device=CPU, taking_turns=turns) for turns in ((), all_of_them))
    ids = torch.arange(3, 15)[None]
    results: list[torch.Tensor] = []
    for engines in (together, in_turn, in_turn):
        embeds = engines.text_encoder.encode(ids, torch.ones_like(ids))
        text = engines.transformer.text_keys_values(embeds)
        latents = torch.ones(1, 8, 2, 4, 6)
        rotary = engines.transformer.rotary(0, latents)
        cache = text.new_zeros(2, 2, 2, 0, 24)
        results.append(engines.transformer.velocity(latents, torch.full((2,), 500.0), text, rotary, cache))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_text_encoder_waits_on_the_device_between_clips_and_leaves_for_one(tiny_checkpoint: Checkpoint) -> None:
    residency = Residency(CPU, taking_turns=("text_encoder",))
    encoder = TorchTextEncoder(tiny_checkpoint.text_encoder, residency, torch.float32)
    transformer = TorchTransformer(tiny_checkpoint.transformer, residency, torch.float32)
    assert residency.resident == ("transformer",)
    encoder.return_early()
    assert set(residency.resident) == {"text_encoder", "transformer"}
    transformer.text_keys_values(torch.randn(1, 16, 16))  # of a prompt that was known
    assert residency.resident == ("transformer",)


def test_one_of_many_that_take_turns_does_not_return_early(tiny_checkpoint: Checkpoint) -> None:
    residency = Residency(CPU, taking_turns=("text_encoder", "transformer"))
    TorchTextEncoder(tiny_checkpoint.text_encoder, residency, torch.float32).return_early()
    assert residency.resident == ()


@torch.inference_mode()
def test_padding_is_not_encoded_and_comes_out_as_zeros(tiny_checkpoint: Checkpoint) -> None:
    encoder = TorchTextEncoder(tiny_checkpoint.text_encoder, Residency(CPU), torch.float32)
    for used in (12, 64, 200):
        ids, mask = torch.zeros(2, 1, 200, dtype=torch.int64)
        ids[:, :used], mask[:, :used] = torch.arange(3, 15).repeat(20)[:used], 1
        expected = tiny_checkpoint.text_encoder(ids, mask).last_hidden_state * mask.unsqueeze(-1)
        assert (encoder.encode(ids, mask) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("free_bytes", "expected"),
    [(60, ()), (59, ("text_encoder",)), (40, ("text_encoder",)), (39, ("text_encoder", "b"))],
)
def test_what_takes_turns_follows_from_the_free_memory(free_bytes: int, expected: tuple[str, ...]) -> None:
    assert turns({"text_encoder": 10, "b": 20}, free_bytes) == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch sees")
def test_linears_visit_the_device_one_at_a_time_and_go_home() -> None:
    network = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 32)))
    away: list[set[str]] = []

    def look(*_: object) -> None:
        away.append({name for name, parameter in network.named_parameters() if parameter.is_cuda})

    visits = Visits(network, torch.device("cuda"))
    for linear in network.modules():
        if isinstance(linear, nn.Linear):
            linear.register_forward_hook(look, prepend=True)  # before the visit ends
    assert network(torch.randn(2, 16, device="cuda")).shape == (2, 32)
    always = {"1.weight", "1.bias"}
    assert away == [always | {f"{name}.{part}" for part in ("weight", "bias")} for name in ("0", "2.0", "2.1")]
    assert {name for name, parameter in network.named_parameters() if parameter.is_cuda} == always
    visits.end()
    assert network[0](torch.randn(2, 16)).shape == (2, 16)


@pytest.mark.parametrize("has_room", [False, True])
def test_an_expert_that_waits_is_quantised_as_one_that_stays(
    tiny_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    """Its linears visit the device one at a time only where it could not be there as a whole."""
    visits: list[Visits] = []
    begin = Visits.__init__

    def counted(self: Visits, *given: Any) -> None:
        visits.append(self)
        begin(self, *given)

    monkeypatch.setattr(Visits, "__init__", counted)
    monkeypatch.setattr(Residency, "has_room_for", lambda *_: has_room)
    tuning = Tuning(fp8_error=0.05)
    stays, waits = (
        TorchTransformer(tiny_checkpoint.transformer, Residency(CPU, taking_turns=names), torch.float32, tuning=tuning)
        for names in ((), ("transformer", "transformer_2"))
    )
    assert stays.fp8 == waits.fp8
    assert stays.fp8.linears
    assert len(visits) == (0 if has_room else 1)


@pytest.mark.parametrize(("free_bytes", "expected"), [(120, True), (119, False)])
def test_room_is_a_quarter_more_than_the_weights(
    monkeypatch: pytest.MonkeyPatch, free_bytes: int, expected: bool
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (free_bytes, 1 << 40))
    module = nn.Linear(5, 4)  # 96 bytes
    assert Residency(torch.device("cuda", 0)).has_room_for(module) is expected
    assert not Residency(CPU).has_room_for(module)
