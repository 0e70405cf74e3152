"""The fast backend on CPUs: the same stateless steps, compiled by OpenVINO.

Owns conversion and buffers. One dynamic-shape graph serves every size and block length; OpenVINO prepares its kernels
the first time a shape is seen, which is what `Model.warm_up` is for. Does not know blocks or jobs, nor which precision
is the faster one here (`openvino_precision`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from engines import cache
from engines.base import Engines, VaeState
from engines.checkpoint import Checkpoint
from engines.errors import EngineError
from engines.openvino_precision import faster_precision
from engines.torch_engine import TorchVaeEncoder
from engines.transformer_step import TextKeysValues, TimeEmbedding, TransformerStep, rotary_tables
from engines.vae_step import CacheShapes, FramesStep, VaeStep

_ELEMENT_TYPES = {torch.float32: ov.Type.f32, torch.int64: ov.Type.i64}


def _convert(module: nn.Module, example: Sequence[Tensor]) -> ov.Model:
    """A graph with all dimensions of its inputs open.

    By the frontend and the passes of `openvino.convert_model`, which itself reports every conversion to its makers over
    the network, unasked, and spends more than half of its time on inputs that need no preparation.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        # Tracing warns of every shape that might become a constant; the contract suite runs other shapes than these.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module.eval(), tuple(example), check_trace=False)
        frontend, decoder = FrontEndManager().load_by_framework("pytorch"), TorchScriptPythonDecoder(traced)
        loaded = frontend.load(decoder)  # which has a name, because the model does not keep it alive
        for place, tensor in zip(loaded.get_inputs(), example, strict=True):
            loaded.set_partial_shape(place, ov.PartialShape([-1] * tensor.ndim))
            loaded.set_element_type(place, _ELEMENT_TYPES[tensor.dtype])
        model = frontend.convert(loaded)
    apply_moc_transformations(model, cf=False, smart_reshape=True)
    return model


class _Graph:
    """One compiled graph. Inputs are shared with the caller's memory, outputs written into the caller's tensors.

    Args:
        file: of the converted model.
        outputs: which of the model's outputs are computed at all.
    """

    def __init__(self, core: ov.Core, file: Path, precision: str, outputs: Sequence[int] | None = None) -> None:
        model = core.read_model(file)
        if outputs is not None:
            model = ov.Model([model.outputs[i] for i in outputs], model.get_parameters())  # pyright: ignore[reportGeneralTypeIssues]
        options = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        self._request = core.compile_model(model, "CPU", options).create_infer_request()

    def __call__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor] = ()) -> list[Tensor]:
        """Run; outputs not given are new tensors."""
        arrays = [tensor.contiguous().numpy() for tensor in inputs]  # named, so that they outlive the run
        for i, array in enumerate(arrays):
            self._request.set_input_tensor(i, ov.Tensor(array, shared_memory=True))
        for i, tensor in enumerate(outputs):
            self._request.set_output_tensor(i, ov.Tensor(tensor.numpy(), shared_memory=True))
        self._request.infer()
        count = len(self._request.model_outputs)
        made = [self._request.get_output_tensor(i).data for i in range(len(outputs), count)]
        return [*outputs, *(torch.from_numpy(np.array(array)) for array in made)]


class _TextModule(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden * attention_mask.unsqueeze(-1)


class OpenVinoTextEncoder:
    """`TextEncoder` in float32: it runs once a prompt, its digits are what everything else follows."""

    def __init__(self, core: ov.Core, plans: Path) -> None:
        self._graph = _Graph(core, plans / "text_encoder.xml", "f32")

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self._graph((input_ids, attention_mask))[0]


class OpenVinoTransformer:
    """`Transformer`: two graphs of one module: a step needs no keys and values out, a re-cache no velocity."""

    def __init__(self, core: ov.Core, plans: Path, checkpoint: Checkpoint, precision: str) -> None:
        self._source = checkpoint.transformer
        self._time = TimeEmbedding(checkpoint.transformer)
        self._text = _Graph(core, plans / "text_keys_values.xml", "f32")
        self._velocity = _Graph(core, plans / "transformer.xml", precision, (0,))
        self._keys_values = _Graph(core, plans / "transformer.xml", precision, (1,))

    def text_keys_values(self, prompt_embeds: Tensor) -> Tensor:
        return self._text((prompt_embeds,))[0]

    def rotary(self, first_latent: int, latents: Tensor) -> tuple[Tensor, Tensor]:
        _, _, frames, height, width = latents.shape
        return rotary_tables(self._source, first_latent, frames, height, width)

    def velocity(
        self, latents: Tensor, timesteps: Tensor, text: Tensor, rotary: tuple[Tensor, Tensor], cache: Tensor
    ) -> Tensor:
        return self._run(self._velocity, latents, timesteps, text, rotary, cache)

    def keys_values(
        self,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
        keep: Callable[[Tensor], None],
    ) -> None:
        for layer in self._run(self._keys_values, latents, timesteps, text, rotary, cache):
            keep(layer)

    def _run(
        self,
        graph: _Graph,
        latents: Tensor,
        timesteps: Tensor,
        text: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: Tensor,
    ) -> Tensor:
        with torch.inference_mode():
            time = self._time(timesteps)
        return graph((latents, time, text, *rotary, cache))[0]


class OpenVinoVaeDecoder:
    """`VaeDecoder`: the caches of two latents alternate as inputs and outputs, so nothing is copied."""

    def __init__(self, core: ov.Core, plans: Path, checkpoint: Checkpoint, precision: str) -> None:
        vae = checkpoint.vae
        self._shapes = CacheShapes(vae)
        self._first = _Graph(core, plans / "vae_first.xml", precision)
        self._next = _Graph(core, plans / "vae_next.xml", precision)
        self._scale = 2 ** len(vae.temperal_downsample) * (vae.config["patch_size"] or 1)
        self._frames = 2 ** sum(vae.temperal_downsample)

    def start(self, height: int, width: int) -> VaeState:
        shapes = self._shapes(height, width)
        return VaeState(caches=[torch.zeros(s) for s in shapes], spare=[torch.zeros(s) for s in shapes])

    def decode(self, latents: Tensor, state: VaeState) -> Tensor:
        first = state.num_latents == 0
        height, width = (self._scale * n for n in latents.shape[-2:])
        pixels = torch.empty(1 if first else self._frames, height, width, 3, dtype=torch.uint8)
        graph = self._first if first else self._next
        graph((latents, *state.caches), (pixels, *state.spare))
        state.caches, state.spare = state.spare, state.caches
        state.num_latents += 1
        return pixels


def load(checkpoint: Checkpoint, stop: Callable[[], bool] = lambda: False) -> Engines:
    """All three engines on the CPU.

    Args:
        stop: asked between the conversions of two graphs, each of which takes seconds.

    Raises:
        EngineError: a graph cannot be converted or compiled here, and why; or `stop` said so.
    """
    if checkpoint.transformer_2 is not None:
        raise EngineError("backend 'openvino' runs one transformer; this checkpoint has two: use 'torch'")
    core = ov.Core()
    version = ".".join(ov.__version__.split(".")[:2])
    try:
        precision = faster_precision(core)
        key = cache.key(checkpoint.folder, "openvino", ov.__version__)
        plans = cache.entry(key, lambda folder: _convert_all(checkpoint, folder, stop))
        return Engines(
            text_encoder=OpenVinoTextEncoder(core, plans),
            transformer=OpenVinoTransformer(core, plans, checkpoint, precision),
            vae_decoder=OpenVinoVaeDecoder(core, plans, checkpoint, precision),
            device=torch.device("cpu"),
            label=f"OpenVINO {version} · {precision.replace('f32', 'fp32')} · CPU",
            vae_encoder=TorchVaeEncoder(checkpoint.vae, torch.device("cpu"), torch.float32),
        )
    except (RuntimeError, OSError) as error:
        raise EngineError(f"OpenVINO {version}: {error}") from error


def _convert_all(checkpoint: Checkpoint, folder: Path, stop: Callable[[], bool]) -> None:
    """Every graph of a checkpoint, with every dimension that a request may change left open."""
    transformer, vae = checkpoint.transformer, checkpoint.vae
    config = transformer.config
    layers, heads, dim = (config[k] for k in ("num_layers", "num_attention_heads", "attention_head_dim"))
    ids = torch.ones(1, 16, dtype=torch.int64)
    latents = torch.zeros(1, config["in_channels"], 2, 4, 6)
    with torch.inference_mode():
        time = TimeEmbedding(transformer)(torch.zeros(2))
    text, context = torch.zeros(layers, 2, heads, 16, dim), torch.zeros(layers, 2, heads, 12, dim)
    step = (latents, time, text, *rotary_tables(transformer, 0, 2, 4, 6), context)
    caches = [torch.zeros(shape) for shape in CacheShapes(vae)(4, 6)]
    latent = torch.zeros(1, vae.config["z_dim"], 1, 4, 6)
    graphs: dict[str, tuple[nn.Module, Sequence[Tensor]]] = {
        "text_encoder": (_TextModule(checkpoint.text_encoder), (ids, ids)),
        "text_keys_values": (TextKeysValues(transformer), (torch.zeros(1, 16, config["text_dim"]),)),
        "transformer": (TransformerStep(transformer), step),
        "vae_first": (FramesStep(VaeStep(vae, first=True)), (latent, *caches)),
        "vae_next": (FramesStep(VaeStep(vae, first=False)), (latent, *caches)),
    }
    for i, (name, (module, example)) in enumerate(graphs.items()):
        cache.report(folder, 100 * i // len(graphs))
        if stop():
            raise EngineError("the conversion of the graphs was stopped")
        ov.save_model(_convert(module, example), folder / f"{name}.xml", compress_to_fp16=False)
