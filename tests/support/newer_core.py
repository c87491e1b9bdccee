"""A stand-in for the NextDiT of newer ComfyUI: latents with frames, references after the image, preferred attention.

Written from what is known of its attribute names and its sequence, [text | frames | references | padding]; it shares
core's layers, embedders and rope embedder, so that the patch nodes meet the real ones.
"""

import comfy.ops
import torch
from comfy.ldm.lumina.model import JointAttention, NextDiT
from comfy.ldm.modules import attention
from torch import Tensor, nn

from lumina_next.tests.support.core_models import Z_IMAGE, load_core

KINDS = {key: value for key, value in Z_IMAGE.items() if key not in ("image_model", "pad_tokens_multiple")}


class Preference(nn.Module):
    """What a layer's attention is to be computed by, if a checkpoint says so."""

    def __init__(self):
        super().__init__()
        self.function = None


class Attention(JointAttention):
    """Core's, but that it asks for the preferred function, as `wrap_attn` does, where no override stands."""

    def forward(self, x, x_mask, freqs_cis, transformer_options={}):  # noqa: B006 - ComfyUI's signature
        heads, width = self.n_local_heads, self.head_dim
        q, k, v = (part.unflatten(-1, (-1, width)) for part in self.qkv(x).chunk(3, dim=-1))
        q, k = attention_rope(self.q_norm(q), freqs_cis), attention_rope(self.k_norm(k), freqs_cis)
        q, k, v = (part.movedim(1, 2) for part in (q, k, v))
        options = {"mask": x_mask, "skip_reshape": True, "transformer_options": transformer_options}
        preferred = self.comfy_attention.function
        if preferred is not None and "optimized_attention_override" not in transformer_options:
            return self.out(preferred(q, k, v, heads, **options))
        return self.out(attention.optimized_attention_masked(q, k, v, heads, **options))


def attention_rope(x: Tensor, table: Tensor) -> Tensor:
    pairs = x.float().unflatten(-1, (-1, 1, 2))
    return (table[..., 0] * pairs[..., 0] + table[..., 1] * pairs[..., 1]).flatten(-2).to(x.dtype)


class NewerNextDiT(NextDiT):
    def __init__(self, **options):
        super().__init__(**options)
        self.masked_pad_multiple = 32
        for module in self.modules():
            if isinstance(module, JointAttention):
                module.__class__ = Attention
                module.comfy_attention = Preference()

    def embed(self, x: Tensor) -> Tensor:
        p = self.patch_size
        x = nn.functional.pad(x, (0, -x.shape[-1] % p, 0, -x.shape[-2] % p))
        return self.x_embedder(x.unflatten(-1, (-1, p)).unflatten(-3, (-1, p)).permute(0, 2, 4, 3, 5, 1).flatten(3))

    def _forward(self, x, timesteps, context, num_tokens, attention_mask=None, ref_frames=(), **kwargs):
        transformer_options = kwargs["transformer_options"]
        t, multiple = self.t_embedder((1 - timesteps) * self.time_scale, dtype=x.dtype), self.pad_tokens_multiple or 1
        text = torch.cat([self.cap_embedder(context), *filter(torch.is_tensor, [kwargs.get("direct_context")])], dim=1)
        text = nn.functional.pad(text, (0, 0, 0, -text.shape[1] % multiple))
        places = torch.zeros(1, text.shape[1], 3)
        places[..., 0] = torch.arange(text.shape[1]) + 1
        text_turns = self.rope_embedder(places).movedim(1, 2)
        for layer in self.context_refiner:
            text = layer(text, None, text_turns, transformer_options=transformer_options)
        images, ids = [], []
        for at, image in enumerate([*x.unbind(2), *(ref.expand(len(x), -1, -1, -1) for ref in ref_frames)]):
            tokens = self.embed(image)
            rows, columns = torch.meshgrid(*(torch.arange(n) for n in tokens.shape[1:3]), indexing="ij")
            ids.append(torch.stack([torch.full_like(rows, text.shape[1] + 1 + at), rows, columns], -1).flatten(0, 1))
            images.append(tokens.flatten(1, 2))
        image, ids = torch.cat(images, dim=1), torch.cat(ids)[None].float()
        filled = -image.shape[1] % multiple
        image, ids = (nn.functional.pad(part, (0, 0, 0, filled)) for part in (image, ids))
        turns = self.rope_embedder(ids).movedim(1, 2)
        for layer in self.noise_refiner:
            image = layer(image, None, turns, t, transformer_options=transformer_options)
        both, turns, length = torch.cat([text, image], dim=1), torch.cat([text_turns, turns], dim=1), text.shape[1]
        transformer_options["block_type"] = "double"
        for i, layer in enumerate(self.layers):
            transformer_options["block_index"] = i
            both = layer(both, None, turns, t, transformer_options=transformer_options)
        p, frames, rows, columns = self.patch_size, x.shape[2], -(-x.shape[3] // 2), -(-x.shape[4] // 2)
        out = self.final_layer(both[:, length : length + frames * rows * columns], t)
        out = out.unflatten(-1, (p, p, -1)).unflatten(1, (frames, rows, columns)).permute(0, 6, 1, 2, 4, 3, 5)
        return -out.flatten(5, 6).flatten(3, 4)[..., : x.shape[3], : x.shape[4]]


def load_newer(family: str = "ming_image", **options):
    """Return the MODEL of a random stand-in."""
    model = load_core(Z_IMAGE)
    torch.manual_seed(0)
    network = NewerNextDiT(**KINDS | options, dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            near = 1.0 if parameter.ndim == 1 and "norm" in name else 0.0
            parameter.copy_(near + 0.3 * torch.randn(parameter.shape) / max(parameter.shape[-1], 1) ** 0.5)
    model.model.diffusion_model = network.eval()
    model.model.model_config.unet_config["image_model"] = family
    return model


def call(model, x: Tensor, override=None, sigma: float = 0.9, length: int = 10, **conds) -> Tensor:
    """Evaluate a MODEL once, on a text of `length` tokens; override(func, q, k, v, …) may look at attention."""
    options = {"wrappers": model.wrappers} | ({"optimized_attention_override": override} if override else {})
    text = torch.randn(len(x), length, 20, generator=torch.Generator().manual_seed(3))
    model.patch_model()
    model.model.current_patcher = model
    try:
        with torch.no_grad():
            conds |= {"num_tokens": length, "transformer_options": options}
            return model.model.apply_model(x, torch.full((len(x),), sigma), c_crossattn=text, **conds)
    finally:
        model.model.current_patcher = None
        model.unpatch_model()
