"""The judge: four frames of a second in, one answer a head out. Frozen once trained.

Owns the network, its file and how answers are read. Knows nothing of scenes or prompts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.judges.labels import FRAME_OFFSETS, HEADS, HEIGHT, WIDTH

WEIGHTS = Path(__file__).parent / "judges.safetensors"
WIDTHS: tuple[int, ...] = (48, 64, 128, 192)


@dataclass(frozen=True, slots=True)
class Reading:
    """What judges say of B windows.

    Attributes:
        log_probabilities: by head, float32 [B, classes].
        features: float32 [B, D], the pooled last layer, for Fréchet distances.
    """

    log_probabilities: Mapping[str, Tensor]
    features: Tensor


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.short = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        x = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(x + self.short(short))


class Judge(nn.Module):
    """All heads on one trunk (He et al., arXiv 1512.03385); each head looks where it wants by attention pooling.

    Args:
        widths: channels of the stem and the three stages.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = widths
        stem, low, middle, high = widths
        frames = len(FRAME_OFFSETS)
        self.stem = nn.Conv2d(3 * (2 * frames - 1), stem, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(stem)
        self.low = _Residual(stem, low, 2)
        self.middle = nn.Sequential(_Residual(low, middle, 2), _Residual(middle, middle, 1))
        self.high = nn.Sequential(_Residual(middle, high, 2), _Residual(high, high, 1))
        self.attention = nn.Conv2d(high, len(HEADS), 1)
        pooled = 2 * middle + 3 * high
        self.heads = nn.ModuleDict({name: nn.Linear(pooled, len(classes)) for name, classes in HEADS.items()})

    def forward(self, clips: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Float clips [B, frames, 3, HEIGHT, WIDTH] in [0, 1] to logits by head [B, classes] and features [B, D]."""
        frames = clips * 2.0 - 1.0
        steps = (frames[:, 1:] - frames[:, :-1]) * 2.0
        x = torch.cat([frames, steps], 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.norm(self.stem(x)))
        middle = self.middle(self.low(x))
        high = self.high(middle)
        mean = high.mean((2, 3))
        shared = torch.cat([middle.mean((2, 3)), middle.amax((2, 3)), mean, high.amax((2, 3))], 1)
        where = self.attention(high).flatten(2).softmax(2)
        looked = torch.einsum("bhn,bcn->bhc", where, high.flatten(2))
        logits = {
            name: head(torch.cat([shared, looked[:, number]], 1)).float()
            for number, (name, head) in enumerate(self.heads.items())
        }
        return logits, mean.float()

    @torch.inference_mode()
    def read(self, clips: Tensor, batch: int = 64) -> Reading:
        """Answers about windows uint8 [B, frames, 3, HEIGHT, WIDTH] on the network's device.

        Raises:
            ValueError: the clips have another shape or type.
        """
        if clips.dtype != torch.uint8 or clips.shape[1:] != (len(FRAME_OFFSETS), 3, HEIGHT, WIDTH):
            raise ValueError(
                f"{clips.dtype} {tuple(clips.shape)}: uint8 [B, {len(FRAME_OFFSETS)}, 3, {HEIGHT}, {WIDTH}]"
            )
        parts = [self(part.float() / 255.0) for part in clips.split(batch)]
        names = {name: torch.cat([logits[name] for logits, _ in parts]).log_softmax(1) for name in HEADS}
        return Reading(names, torch.cat([features for _, features in parts]))


def save_judge(judge: Judge, path: Path) -> None:
    """Write the weights in half precision, whole or not at all."""
    halves = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in judge.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(halves, partial, {"heads": _heads_text(), "widths": json.dumps(judge.widths)})
    partial.replace(path)


def load_judge(device: torch.device, path: Path = WEIGHTS) -> Judge:
    """The frozen judge.

    Raises:
        FileNotFoundError: it has not been trained yet.
        ValueError: it was trained for other questions than those of `labels.HEADS`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no judge yet; train one by `python -m bench.judges train`")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    if metadata.get("heads") != _heads_text():
        raise ValueError(f"{path}: trained for other heads or classes than labels.HEADS has now")
    judge = Judge(tuple(json.loads(metadata["widths"])))
    judge.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return judge.to(device).eval().requires_grad_(False)


def fingerprint(path: Path = WEIGHTS) -> str:
    """Twelve digits that name the judge's weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def _heads_text() -> str:
    return json.dumps({name: list(classes) for name, classes in HEADS.items()}, ensure_ascii=True)
