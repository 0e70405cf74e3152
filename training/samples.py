"""Contact sheets: what the trained networks make of fixed prompts.

Owns the sheet only. Does not know training.

    python -m training.samples --folder .train/run --networks flow --tokenizer .train/tokenizer --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from training import config
from training.autoencode import decode_frames, denormalise
from training.latents import tokenize
from training.networks import Networks, embed_prompts, load_networks
from training.sampler import Sampling, generate
from training.vae import load_vae

PROMPTS: tuple[str, ...] = (
    "一只红色的球从左向右移动",
    "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格",
    "穿红斗篷的少女站在雪山悬崖边,逆光金边,胶片颗粒感,电影宽银幕,8K细节",
    "静卧的猎豹",
    "2077年新上海,悬浮车流穿梭于玻璃幕墙摩天楼之间,霓虹广告投射在湿漉路面上,景深镜头,8K",
    "咖啡馆,木质吧台",
    "a blue ball moving from right to left",
    "a yellow balloon rising over the sea at dusk",
    "三棵松树,雪山,下雪",
    "绿色的小汽车在沙漠里向左行驶",
    "a white cat jumping in the forest",
    "一只粉色的灯笼,夜晚,水墨风国画",
)


@torch.no_grad()
def make_clips(
    networks: Networks,
    vae: AutoencoderKLWan,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    size: config.Size,
    num_latents: int,
    sampling: Sampling,
    seed: int,
) -> Tensor:
    """Generate and decode: [B, 3, frames, H, W] in [-1, 1] on the CPU."""
    ids = tokenize(tokenizer, [*prompts, ""]).to(networks.transformer.device)
    embeds, empty = embed_prompts(networks.text_encoder, ids).split([len(prompts), 1])
    latents = denormalise(vae, make_latents(networks, embeds, empty, size, num_latents, sampling, seed))
    return torch.cat([decode_frames(vae, row[None]).clamp(-1, 1).float().cpu() for row in latents])


def make_latents(
    networks: Networks,
    embeds: Tensor,
    empty: Tensor,
    size: config.Size,
    num_latents: int,
    sampling: Sampling,
    seed: int,
) -> Tensor:
    """Normalised latents [B, C, num_latents, h, w] of prompts [B, T, D]; the empty one is [1 or B, T, D]."""
    generator = torch.Generator().manual_seed(seed)
    blocks = generate(
        networks,
        embeds,
        empty.expand_as(embeds),
        latent_size=size.latent,
        num_latents=num_latents,
        sampling=sampling,
        noise=lambda shape: torch.randn(shape, generator=generator).to(embeds.device),
    )
    return torch.cat(list(blocks), 2)


def sheet(clips: Tensor, labels: list[str], columns: int = 6, width: int = 256) -> Image.Image:
    """One row a clip, evenly spaced frames with the first and the last, its label above."""
    at = np.linspace(0, clips.shape[2] - 1, columns).round().astype(int)
    height = round(width * clips.shape[3] / clips.shape[4])
    picture = Image.new("RGB", (columns * width, len(clips) * (height + 18)), "white")
    draw = ImageDraw.Draw(picture)
    for row, (clip, label) in enumerate(zip(clips, labels, strict=True)):
        draw.text((4, row * (height + 18) + 3), label, fill="black", font=_font())
        for column, index in enumerate(at):
            pixels = ((clip[:, index] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            small = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
            picture.paste(small, (column * width, row * (height + 18) + 18))
    return picture


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with Chinese glyphs where the machine has one."""
    for path in (
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
        "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    ):
        if Path(path).exists():
            return ImageFont.truetype(path, 12)
    return ImageFont.load_default()


def main() -> None:
    """Render the fixed prompts and write one picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--networks", default="flow", help="folder of the run with the networks")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", default="768x448")
    parser.add_argument("--latents", type=int, default=25)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--shift", type=float, default=3.0)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--strength", type=float, default=0.75)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = load_networks(args.folder / args.networks, device).requires_grad_(False)
    sampling = Sampling(args.steps, args.shift, args.guidance, args.strength)
    prompts = list(PROMPTS[: args.prompts])
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    inputs = load_vae(args.folder, device), tokenizer, prompts, config.Size.parse(args.size)
    clips = make_clips(networks, *inputs, args.latents, sampling, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(clips, [str(number) + " " + prompt for number, prompt in enumerate(prompts)]).save(args.out)


if __name__ == "__main__":
    main()
