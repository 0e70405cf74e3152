"""A student that never saw the new channels gives its teacher's where both are the same network otherwise."""

from __future__ import annotations

import torch
from diffusers import WanTransformer3DModel

from training import config
from training.forward import cached_forward
from training.graft import graft

OLD, NEW = 6, 10


@torch.no_grad()
def test_what_is_new_is_the_teachers_and_what_is_old_the_students() -> None:
    torch.manual_seed(0)
    sizes = {"num_layers": 1, "ffn_dim": 32, "num_attention_heads": 2, "attention_head_dim": 24, "text_dim": 16}
    sizes |= {"in_channels": NEW, "out_channels": NEW}
    teacher, student = (WanTransformer3DModel(**config.TRANSFORMER | sizes) for _ in range(2))
    student.load_state_dict(teacher.state_dict())
    for parameter in student.proj_out.parameters():
        parameter.add_(1.0)
    student.patch_embedding.weight[:, OLD:] = 0
    given = torch.full((2, 1), 500), torch.randn(2, 5, 16), torch.zeros(1, 1, dtype=torch.long)
    latents = torch.randn(2, NEW, 1, 4, 6)
    wanted = cached_forward(teacher, latents, *given)[0]
    graft(student, teacher, OLD)
    made = cached_forward(student, latents, *given)[0]
    torch.testing.assert_close(made[:, OLD:], wanted[:, OLD:])
    assert (made[:, :OLD] - wanted[:, :OLD]).abs().min() > 1e-3
