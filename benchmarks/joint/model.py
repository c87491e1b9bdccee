"""The small network as ComfyUI samples it: a MODEL that the pack's own nodes patch, called as benchmarks call networks.

What is judged is so the code that users run: core's network, core's calls of it, this pack's patches in between.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.latent_formats
import comfy.model_patcher
import comfy.supported_models
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...nextdit import ContextDrop, RopeScaling
from ...nextdit.files import read_metadata, read_weights
from ...nodes.adapter.host.time import sigma_at
from ...nodes.adapter.patches.context_drop import drop_context
from ...nodes.adapter.patches.model_call import put_first
from ...nodes.adapter.patches.region_calls import run_call
from ...nodes.adapter.patches.region_prompts import KEY
from ...nodes.adapter.patches.regions import add_region
from ...nodes.adapter.patches.scaled_rope import scale_rope
from .config import read_config

Texts = Sequence[tuple[Tensor, Tensor | None]]
"""Features (B, L, D) and mask (B, L), None where every token counts: of the global prompts, then of the regions."""


class SmallLumina2(comfy.supported_models.Lumina2):
    """Core's settings of Lumina-Image-2.0, for pixels and without a shift of the schedule."""

    latent_format = comfy.latent_formats.ChromaRadiance
    sampling_settings = {"multiplier": 1.0, "shift": 1.0}


def load_patcher(file: Path, dtype: torch.dtype = torch.float32, device: Any = "cpu"):
    """Return the MODEL of a file that `network.save` wrote; core's detection knows released widths only."""
    config = SmallLumina2(dict(read_config(file) or {}))
    config.set_inference_dtype(dtype, None)
    device = torch.device(device)
    model = config.get_model({}, device=device)
    model.load_model_weights({key: x.to(device, dtype) for key, x in read_weights(file).items()}, "")
    return comfy.model_patcher.ModelPatcher(model.to(device), device, device)


class JointModel:
    """A MODEL with the face of a network: (x, t, text, mask, rope, drop) → velocity.

    `train_size` is the side in pixels that Scaled RoPE is told, `known` how many of the demo's concepts it was trained
    on.
    """

    pools_before_rope = False  # core's keys come rotated

    def __init__(self, file: Path, dtype: torch.dtype = torch.float32, device: Any = "cpu"):
        self.patcher, metadata = load_patcher(file, dtype, device), read_metadata(file)
        network = self.patcher.model.diffusion_model
        self.x_embedder, self.known = network.x_embedder, int(metadata["known"])
        self.config = SimpleNamespace(**(read_config(file) or {}))
        self.train_size = int(metadata["train_tokens"]) * network.patch_size
        self.patched = lru_cache(maxsize=4)(self._patched)

    def _patched(self, rope: RopeScaling | None, drop: ContextDrop | None):
        patcher = self.patcher
        if rope is not None:
            options = {name: getattr(rope, name) for name in ("watershed", "proportional", "return_from", "return_to")}
            per_axis = isinstance(rope.factor, tuple)
            patcher, _ = scale_rope(patcher, rope.method, self.train_size, per_axis=per_axis, **options)
        return patcher if drop is None else drop_context(patcher, drop, drop.start, drop.end)

    def __call__(
        self,
        x: Tensor,
        t: Tensor,
        text: Tensor,
        mask: Tensor | None = None,
        rope: RopeScaling | None = None,
        drop: ContextDrop | None = None,
    ) -> Tensor:
        """Return the velocity of pictures x (B, 3, H, W) at times t (B,), of texts (B, L, D) with mask (B, L)."""
        patcher = self.patched(rope, drop)
        return by_length([(text, mask)], x, lambda rows, texts: self.run(patcher, x[rows], t[rows], texts[0]))

    def regional(self, texts: Texts, masks: Tensor, areas_until: float = 0.0, global_weight: float = 0.0) -> Callable:
        """Return the velocity of pictures with a global text and one a region, as Regional Prompt has the model run.

        `masks` (1, R, H, W) say where the regions are.
        """

        def part(rows: Tensor, x: Tensor, t: Tensor, found: list[Tensor]) -> Tensor:
            conditioning: list = [[found[0], {}]]
            settings = {"global_weight": global_weight, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
            for features, place in zip(found[1:], masks[0], strict=True):
                region = [[features, {}]]
                conditioning = add_region(conditioning, region, place[None], False, areas_until, **settings)
            asked = conditioning[0][1]["model_conds"][KEY].asked
            return self.run(self.patcher, x[rows], t[rows], found[0], **{KEY: asked})

        return lambda x, t: by_length(texts, x, lambda rows, found: part(rows, x, t, found))

    @torch.inference_mode()
    def run(self, patcher, x: Tensor, t: Tensor, text: Tensor, **regions: Any) -> Tensor:
        """Return the velocity of one call of the MODEL, around which regions have a wrapper."""
        options = patcher.model_options["transformer_options"] | {"wrappers": patcher.wrappers, "cond_or_uncond": [0]}
        if regions:
            put_first(options, WrappersMP.APPLY_MODEL, KEY, run_call)
        model, sigma = patcher.model, sigma_at(t)
        patcher.patch_model(load_weights=False)  # they are where they belong
        model.current_patcher = patcher
        try:
            told = {"num_tokens": text.shape[1], "transformer_options": options, **regions}
            denoised = model.apply_model(x, sigma, c_crossattn=text, **told)
        finally:
            model.current_patcher = None
            patcher.unpatch_model(unpatch_weights=False)
        return (denoised - x) / sigma.view(-1, 1, 1, 1)


def by_length(texts: Texts, x: Tensor, run: Callable[[Tensor, list[Tensor]], Tensor]) -> Tensor:
    """Return run(rows, their texts without padding) of all rows of x; core's network has no mask for padding."""
    out = torch.empty_like(x)
    for rows, lengths in groups(texts, len(x)):
        found = [text[rows, :length] for (text, _), length in zip(texts, lengths, strict=True)]
        out[rows] = run(rows, found)
    return out


def groups(texts: Texts, count: int) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """Return rows whose texts are of the same lengths, and these lengths."""
    lengths = [[text.shape[1]] * count if mask is None else mask.sum(1).tolist() for text, mask in texts]
    each = list(zip(*lengths, strict=True))
    for found in sorted(set(each)):
        yield torch.tensor([i for i, row in enumerate(each) if row == found]), found
