"""Random Next-DiTs, quantised by ComfyUI's own layouts and stored in the spellings that files come in."""

import json
from collections.abc import Callable

import comfy.quant_ops
import torch
from torch import Tensor

from lumina_next.nextdit import NextDiT, NextDiTConfig
from lumina_next.nextdit.keys import to_reference_keys
from lumina_next.tests.nextdit.conftest import randomise

# Every matrix has a multiple of 256 columns, as the formats that turn weights ask for.
WIDE = NextDiTConfig(
    dim=256, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=512, in_channels=16, patch_size=4, out_channels=32,
    ffn_dim=768, time_dim=256,
)  # fmt: skip
# Nothing is a multiple of 16 or 32, to which nvfp4 and mxfp8 fill up.
ODD = NextDiTConfig(
    dim=72, n_layers=2, n_heads=2, n_kv_heads=1, text_dim=40, in_channels=3, out_channels=6, ffn_dim=104, time_dim=56
)


def network(config: NextDiTConfig) -> NextDiT:
    """Return a seeded network in bfloat16."""
    return randomise(NextDiT(config)).bfloat16()


def quantise(
    weights: dict[str, Tensor], form: str, only: Callable[[str], bool] = lambda module: True
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a state dict, quantised where `only` wants it, and the matrices that ComfyUI reads there."""
    layout = comfy.quant_ops.QUANT_ALGOS[form]["comfy_tensor_layout"]
    out, read = {}, {}
    for key, weight in weights.items():
        module = key.removesuffix(".weight")
        if weight.ndim != 2 or not only(module):
            out[key] = weight
            continue
        options = {} if form == "mxfp8" else {"scale": "recalculate"}
        tensor = comfy.quant_ops.QuantizedTensor.from_float(weight, layout, **options)
        out |= tensor.state_dict(key)
        out[f"{module}.comfy_quant"] = torch.tensor(list(json.dumps({"format": form}).encode()), dtype=torch.uint8)
        read[key] = tensor.dequantize()
    return out, read


def reference(config: NextDiTConfig) -> dict[str, Tensor]:
    """Return the weights of `network` under the reference layout's names."""
    return {key: x.detach() for key, x in to_reference_keys(network(config).state_dict()).items()}


def scaled_fp8(
    weights: dict[str, Tensor], dtype=torch.float8_e4m3fn, rows: bool = False, name: str = "weight_scale"
) -> dict[str, Tensor]:
    """Return a state dict with every matrix of the layers in fp8, a scale (one, or one a row) and nothing else."""
    out = dict(weights)
    for key, weight in weights.items():
        if weight.ndim == 2 and key.startswith("layers."):
            peak = weight.float().abs().amax(1) if rows else weight.float().abs().amax()
            scale = peak / torch.finfo(dtype).max
            out[key] = (weight.float() / (scale[:, None] if rows else scale)).to(dtype)
            out[f"{key.removesuffix('weight')}{name}"] = scale
    return out
