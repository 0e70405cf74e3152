"""Models of tiny random weights for the walk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline import Model


@pytest.fixture(scope="session")
def tiny_model(tiny_folder: Path) -> Model:
    """Block-causal, on the backend that a person gets."""
    from pipeline import load_model

    return load_model(tiny_folder)


@pytest.fixture(scope="session")
def whole_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without streaming.json and without a timestep for each latent: a bidirectional model, whose clip is one block."""
    from tests import tiny

    return tiny.save(tmp_path_factory.mktemp("whole"), streaming=None, index={"expand_timesteps": False})


@pytest.fixture(scope="session")
def chained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without streaming.json, with an image condition: like the public TI2V-5B, UniPC of order 2 included."""
    from diffusers import UniPCMultistepScheduler

    from tests import tiny

    solver = UniPCMultistepScheduler(
        solver_order=2, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
    )
    return tiny.save(tmp_path_factory.mktemp("chained"), streaming=None, solver=solver)


@pytest.fixture(scope="session")
def experts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experts and the 8 x 8 x 4 autoencoder, like the public A14B."""
    from tests import tiny

    return tiny.save(
        tmp_path_factory.mktemp("experts"),
        streaming=None,
        index={"expand_timesteps": False, "boundary_ratio": 0.875},
        autoencoder=tiny.vae_8x8x4(),
    )
