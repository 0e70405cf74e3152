"""diffusers' own way to one clip, beside which ours is measured: `WanPipeline`, all latents at once.

Owns that the clip has as many frames, the same size and the same steps as the request has here. Knows no measurement.
"""

from __future__ import annotations

from typing import Any

import torch

from pipeline.blocks import plan as plan_blocks
from pipeline.request import VideoRequest
from pipeline.spec import Spec


def whole_clip(pipe: Any, request: VideoRequest, spec: Spec) -> None:
    """From text to frames in host memory, which are thrown away.

    Args:
        pipe: diffusers' `WanPipeline` of the checkpoint that `spec` describes, on its device.
    """
    plan = plan_blocks(request, spec.whole_clip().grid)
    pipe(
        prompt=request.prompt,
        negative_prompt="",
        width=plan.width * spec.grid.scale_spatial,
        height=plan.height * spec.grid.scale_spatial,
        num_frames=1 + spec.grid.scale_temporal * (plan.blocks[-1].stop - 1),
        num_inference_steps=request.num_inference_steps or spec.num_inference_steps,
        guidance_scale=request.guidance_scale or spec.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(0),
        output_type="np",
    )
