"""Stage 3's critic: tells the student's first frames from the world's by what the frozen teacher sees in them.

Owns the heads on the teacher's layers, their updates and the student's loss. Does not know how pictures are made.
Latent adversarial diffusion distillation (arXiv 2403.12015): both kinds are noised to a random level first, so that
high levels judge what is shown and low ones how sharp it is. The world's pictures under another picture's words are
false too (arXiv 1605.05396): what is judged is whether the picture shows what is said.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from training.flow import noised, timesteps
from training.forward import Pieces, cached_forward
from training.networks import Networks
from training.session import Session

HIGHEST_SIGMA = 0.8
"""Above it a picture hardly shows."""
EVERY_LAYER = 2


class Heads(nn.Module):
    """Scores of tokens: one small network for each of the teacher's layers that are looked at; it sees the words, too.

    Args:
        width: D of the teacher's layers.
        text_dim: of the prompts' embeddings.
        count: of the layers.
    """

    def __init__(self, width: int, text_dim: int, count: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.pictures = nn.ModuleList([nn.Linear(width, width) for _ in range(count)])
        self.words = nn.ModuleList([nn.Linear(text_dim, width, bias=False) for _ in range(count)])
        self.scores = nn.ModuleList([nn.Linear(width, 1) for _ in range(count)])

    def forward(self, layers: list[Tensor], embeds: Tensor) -> Tensor:
        """Logits [B, layers * tokens], positive for the world's.

        Args:
            layers: each [B, tokens, D].
            embeds: [B, T, text_dim], zero behind the last token.
        """
        said = embeds.sum(1) / embeds.any(2).sum(1, keepdim=True).clamp(min=1)
        made: list[Tensor] = []
        for x, picture, words, score in zip(layers, self.pictures, self.words, self.scores, strict=True):
            mixed = F.gelu(picture(self.norm(x)) + words(said).unsqueeze(1))
            made.append(score(mixed).squeeze(2))
        return torch.cat(made, 1)


class Critic:
    """The heads over one teacher, and their optimiser."""

    def __init__(self, teacher: Networks, session: Session, pieces: Pieces, lr: float) -> None:
        self._teacher, self._session, self._pieces = teacher, session, pieces
        width, count = teacher.transformer.blocks[0].attn1.to_q.in_features, len(teacher.transformer.blocks)
        text_dim = int(teacher.transformer.config.text_dim)
        self.heads = Heads(width, text_dim, count // EVERY_LAYER).to(session.device)
        session.broadcast(self.heads)
        self._optimizer = torch.optim.AdamW(self.heads.parameters(), lr=lr, betas=(0.5, 0.98), weight_decay=1e-3)

    def learn(self, real: Tensor, made: Tensor, embeds: Tensor) -> Tensor:
        """One update of the heads; returns their loss, log 2 where they know nothing.

        Args:
            real, made: first latents [B, C, 1, h, w] of the world's and of the student's pictures of the same prompts.
            embeds: [B, T, text_dim] of the prompts.
        """
        others = embeds.roll(1, 0)
        with torch.no_grad():
            seen = [self._see(x, words) for x, words in ((real, embeds), (made, embeds), (real, others))]
        truly, falsely, mistaken = (
            self.heads(layers, words) for layers, words in zip(seen, (embeds, embeds, others), strict=True)
        )
        wrong = F.softplus(falsely).mean() + F.softplus(mistaken).mean()
        loss = 0.5 * F.softplus(-truly).mean() + 0.25 * wrong
        self._optimizer.zero_grad()
        loss.backward()
        self._session.average_gradients(self.heads.parameters())
        self._optimizer.step()
        return loss.detach()

    def loss(self, made: Tensor, embeds: Tensor) -> Tensor:
        """What the student pays: low where its pictures pass for the world's. Arguments as `learn`."""
        return F.softplus(-self.heads(self._see(made, embeds), embeds)).mean()

    def _see(self, latents: Tensor, embeds: Tensor) -> list[Tensor]:
        positions = torch.zeros(1, 1, dtype=torch.long, device=latents.device)
        return noised_layers(self._teacher.transformer, latents, embeds, positions, HIGHEST_SIGMA, self._pieces)


def noised_layers(
    model: WanTransformer3DModel, latents: Tensor, embeds: Tensor, positions: Tensor, highest: float, pieces: Pieces
) -> list[Tensor]:
    """What every `EVERY_LAYER`th layer makes of latents that are noised to a random level first.

    Args:
        latents: [B, C, F, h, w], normalised.
        embeds: [B, T, text_dim].
        positions: [B, F] or [1, F] in their clip.
        highest: noise level that is reached at most; one level for all latents of a clip.

    Returns:
        Each [B * F, tokens, D].
    """
    sigmas = highest * torch.rand(len(latents), 1, device=latents.device).expand(-1, latents.shape[2])
    noisy = noised(latents, torch.randn_like(latents), sigmas)
    layers: list[Tensor] = []
    cached_forward(model, noisy, timesteps(sigmas), embeds, positions, pieces=pieces, layers=layers)
    return layers[EVERY_LAYER - 1 :: EVERY_LAYER]


def add_scaled(parameters: list[nn.Parameter], loss: Tensor, ratio: float) -> None:
    """Add the gradient of `loss` to the gradients there are, with `ratio` times their norm.

    The two losses have no common scale, and the update's direction is all that the optimiser keeps.

    Args:
        parameters: those without a gradient are left without.
    """
    held = [parameter for parameter in parameters if parameter.grad is not None]
    more = torch.autograd.grad(loss, held, allow_unused=True)
    pairs = [(p.grad, g) for p, g in zip(held, more, strict=True) if p.grad is not None and g is not None]
    norms = [torch.stack(torch._foreach_norm([pair[side] for pair in pairs])).norm() for side in (0, 1)]
    factor = ratio * norms[0] / norms[1].clamp(min=1e-12)
    torch._foreach_add_([pair[0] for pair in pairs], torch._foreach_mul([pair[1] for pair in pairs], factor))
