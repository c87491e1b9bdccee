"""A stand-in for the network of Qwen-Image-2.1, which newer ComfyUI has: causal text, references in it, image last.

Written from what is known of its attribute names, its positions and its calls of attention: each part attends on its
own to itself and to what precedes it, and what precedes the image, which no step changes, is computed once in a run.
"""

import comfy.latent_formats
import comfy.ldm.modules.attention as attention
import comfy.model_base
import comfy.model_detection
import comfy.ops
import comfy.sd
import comfy.supported_models
import pytest
import torch
from comfy.conds import CONDConstant
from comfy.ldm.flux.layers import EmbedND
from comfy.ldm.flux.math import apply_rope1
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import nn

from .newer_core import Preference

MODULE, CLASS = "comfy.ldm.qwen_image21.model", "QwenImage21Transformer2DModel"
SIZES = {"layers": 2, "heads": 2, "width": 32, "text": 20, "channels": 64, "axes": (8, 12, 12)}


class Attention(nn.Module):
    def __init__(self, dim, heads, operations):
        super().__init__()
        self.comfy_attention, self.heads = Preference(), heads
        self.to_q, self.to_k, self.to_v, self.to_out = (operations.Linear(dim, dim) for _ in range(4))

    def forward(self, x, turns, part, kept, options):
        q, k, v = (of(x).unflatten(-1, (self.heads, -1)) for of in (self.to_q, self.to_k, self.to_v))
        q, k = apply_rope1(q, turns), apply_rope1(k, turns)
        if kept is not None:
            k, v = (torch.cat([old, new], dim=1) for old, new in zip(kept, (k, v), strict=True))
        seen, out = k.shape[1] - q.shape[1], []
        for start, stop in part:
            mask = torch.ones(stop - start, stop, dtype=torch.bool).tril(start) if (start, stop) in self.texts else None
            mine = q[:, start - seen : stop - seen], k[:, :stop], v[:, :stop]
            out.append(self.attend(*(x.flatten(2) for x in mine), mask=mask, options=options))
        return self.to_out(torch.cat(out, dim=1)), (k, v)

    def attend(self, q, k, v, mask, options):
        preferred = self.comfy_attention.function
        if preferred is not None and "optimized_attention_override" not in options:
            return preferred(q, k, v, self.heads, mask=mask, transformer_options=options)
        return attention.optimized_attention(q, k, v, self.heads, mask=mask, transformer_options=options)


class Block(nn.Module):
    def __init__(self, dim, heads, operations):
        super().__init__()
        self.attn, self.mlp = Attention(dim, heads, operations), operations.Linear(dim, dim)

    def forward(self, x, scale, *args):
        out, kept = self.attn(x * scale, *args)
        x = x + out
        return x + torch.tanh(self.mlp(x)), kept


class StandIn(nn.Module):
    def __init__(self, sizes=SIZES, dtype=None, device=None, operations=None, image_model=None):
        super().__init__()
        dim = sizes["heads"] * sizes["width"]
        self.dtype, self.kept, self.keeps = dtype, {}, False
        self.pe_embedder = EmbedND(dim=sizes["width"], theta=10000, axes_dim=list(sizes["axes"]))
        self.txt_in, self.img_in = operations.Linear(sizes["text"], dim), operations.Linear(sizes["channels"], dim)
        blocks = [Block(dim, sizes["heads"], operations) for _ in range(sizes["layers"])]
        self.transformer_blocks = nn.ModuleList(blocks)
        self.proj_out = operations.Linear(dim, sizes["channels"])

    def sequence(self, x, context, references, slots):
        """Return tokens (B, L, D), positions (1, L, 3), and where parts and texts begin and end."""
        text = self.txt_in(context)
        cuts = [0, *(slots + [text.shape[1]] * len(references))[: len(references)], text.shape[1]]
        tokens, places, parts, texts, at = [], [], [], [], 0
        for start, stop, image in zip(cuts[:-1], cuts[1:], [*references, x], strict=True):
            if stop > start:
                tokens.append(text[:, start:stop])
                places.append((torch.arange(stop - start) + at)[:, None].expand(-1, 3).float())
                texts.append((sum(map(len, places[:-1])), sum(map(len, places))))
                parts.append(texts[-1])
                at += stop - start
            tokens.append(self.img_in(image.flatten(2).transpose(1, 2)).expand(len(x), -1, -1))
            places.append(self.centred(image.shape[-2:], x.shape[-2:], at))
            parts.append((sum(map(len, places[:-1])), sum(map(len, places))))
            at += max(image.shape[-2:])
        return torch.cat(tokens, dim=1), torch.cat(places)[None], parts, texts

    @staticmethod
    def centred(size, target, at):
        axes = [
            torch.arange(n, dtype=torch.float32) - (n - n // 2) + (n % 2 - m % 2) / 2
            for n, m in zip(size, target, strict=True)
        ]
        rows, columns = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([torch.full_like(rows, at), rows, columns], dim=-1).flatten(0, 1)

    def forward(self, x, timestep, context, ref_latents=None, image_slots=None, transformer_options={}, **kwargs):  # noqa: B006 - ComfyUI's signature
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options)
        executor = WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        return executor.execute(x, timestep, context, ref_latents, image_slots, transformer_options, **kwargs)

    def _forward(self, x, timesteps, context, ref_latents=None, image_slots=None, transformer_options={}, **kwargs):  # noqa: B006 - ComfyUI's signature
        hidden, places, parts, texts = self.sequence(x, context, list(ref_latents or []), list(image_slots or []))
        turns = self.pe_embedder(places).transpose(1, 2)
        before, scale = parts[-1][0], 1 + 0.1 * timesteps[:, None, None]
        transformer_options["block_type"] = "single"
        key = (tuple(x.shape), before, float(context.sum()))
        known = self.kept.get(key) if self.keeps else None
        front, image = hidden[:, :before], hidden[:, before:]
        found = []
        for i, block in enumerate(self.transformer_blocks):
            transformer_options["block_index"], block.attn.texts = i, texts
            if known is None:
                front, kept = block(front, 1.0, turns[:, :before], parts[:-1], None, transformer_options)
                found.append(kept)
            kept = found[i] if known is None else known[i]
            image, _ = block(image, scale, turns[:, before:], parts[-1:], kept, transformer_options)
        if self.keeps and known is None:
            self.kept[key] = found
        return self.proj_out(image).transpose(1, 2).reshape(x.shape)


StandIn.__module__, StandIn.__qualname__ = MODULE, CLASS


class Latents(comfy.latent_formats.LatentFormat):
    latent_channels, spacial_downscale_ratio = 64, 16


class Model(comfy.model_base.QwenImage):
    def __init__(self, model_config, device=None):
        super().__init__(model_config, device=device, unet_model=StandIn)

    def extra_conds(self, **kwargs):
        slots = kwargs.get("image_slots")
        return super().extra_conds(**kwargs) | ({} if slots is None else {"image_slots": CONDConstant(slots)})


class Config(comfy.supported_models.QwenImage):
    unet_config, latent_format = {"image_model": "qwen_image21"}, Latents

    def get_model(self, state_dict, prefix="", device=None):
        return Model(self, device=device)


def load_qwen_21(keeps: bool = False):
    """Return the MODEL of a random stand-in; it `keeps` what precedes the image from one step to the next."""
    torch.manual_seed(0)
    network = StandIn(dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    weights = {key: 0.5 * torch.randn(x.shape) / x.shape[-1] ** 0.5 for key, x in network.state_dict().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_detection, "detect_unet_config", lambda *_, **__: {"image_model": "qwen_image21"})
        patch.setattr(comfy.supported_models, "models", [Config, *comfy.supported_models.models])
        model = comfy.sd.load_diffusion_model_state_dict(weights)
    model.model.diffusion_model.keeps = keeps
    return model
