"""A tiny teacher for what reads or judges by one."""

from __future__ import annotations

import pytest
import torch

from training import config
from training.networks import Networks, new_networks


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> Networks:
    monkeypatch.setattr(
        config, "TEXT_ENCODER", config.TEXT_ENCODER | {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1}
    )
    torch.manual_seed(0)
    tiny = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 32, "num_layers": 2, "text_dim": 16}
    return new_networks(100, transformer=tiny)
