"""What TensorRT's backend decides before a GPU is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engines import tensorrt_engine


@pytest.mark.parametrize(("free_bytes", "expected"), [(120, ()), (119, ("text_encoder",)), (99, None)])
def test_what_takes_turns_follows_from_all_files_of_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, expected: tuple[str, ...] | None
) -> None:
    names = ["text_encoder", "text_keys_values", "vae_first-4x6", "vae_next-4x6"]
    for name in [*names, "transformer-5x4x6+0", "transformer-9x4x6+0"]:
        (tmp_path / f"{name}.plan").write_bytes(b"0123456789")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (free_bytes, 1000))
    graphs = ("text_encoder", "text_keys_values", "transformer", "vae_first", "vae_next")
    assert tensorrt_engine._taking_turns(tmp_path, torch.device("cpu")) == (graphs if expected is None else expected)
