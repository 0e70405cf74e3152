"""What the contract suite does not see of the backend: nothing of a conversion leaves this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import cache
from engines.checkpoint import Checkpoint

pytest.importorskip("openvino")


def test_a_conversion_is_reported_to_nobody(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = pytest.importorskip("openvino_telemetry").Telemetry
    from engines import openvino_engine

    told: list[str] = []
    monkeypatch.setattr(telemetry, "init", lambda *_, **__: told.append("session"))
    monkeypatch.setattr(telemetry, "send_event", lambda *_, **__: told.append("event"))
    monkeypatch.setattr(cache, "report", lambda *_: None)
    openvino_engine._convert_all(tiny_checkpoint, tmp_path, lambda: False)
    assert sorted(path.stem for path in tmp_path.glob("*.xml")) == [
        "text_encoder", "text_keys_values", "transformer", "vae_first", "vae_next",
    ]  # fmt: skip
    assert told == []
