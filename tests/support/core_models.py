"""Small random networks of ComfyUI's own Lumina-Image-2.0 and Z-Image, loaded by its own loader."""

import zlib
from inspect import signature

import comfy.ldm.lumina.model
import comfy.model_detection
import comfy.ops
import comfy.sd
import pytest
import torch

SHARED = {
    "image_model": "lumina2",
    "patch_size": 2,
    "in_channels": 16,
    "cap_feat_dim": 20,
    "n_layers": 3,
    "n_refiner_layers": 1,
    "qk_norm": True,
    "multiple_of": 16,
    "ffn_dim_multiplier": 1.0,
}
LUMINA = SHARED | {
    "dim": 96,
    "n_heads": 4,
    "n_kv_heads": 2,
    "axes_dims": [8, 8, 8],
    "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0,
}
Z_IMAGE = SHARED | {
    "dim": 256,  # the least that its modulation takes
    "n_heads": 4,
    "n_kv_heads": 4,
    "axes_dims": [16, 24, 24],
    "axes_lens": [1536, 512, 512],
    "rope_theta": 256.0,
    "z_image_modulation": True,
    "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}
CORE = {"lumina_image_2": LUMINA, "z_image": Z_IMAGE}


def load_core(config: dict):
    """Return the MODEL of a random network; core's detection, which only knows the released sizes, is told ours."""
    network_class = comfy.ldm.lumina.model.NextDiT
    known = signature(network_class.__init__).parameters  # 0.3.64 has no rope_theta: it is 10,000
    kinds = {key: value for key, value in config.items() if key in known}
    network = network_class(**kinds, dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    weights = {key: drawn(key, x) for key, x in network.state_dict().items()}
    weights |= {key: 1.0 + x for key, x in weights.items() if x.ndim == 1 and "norm" in key}
    with pytest.MonkeyPatch.context() as patch:
        told = {"image_model": "lumina2", **kinds}
        patch.setattr(comfy.model_detection, "detect_unet_config", lambda *args, **kwargs: dict(told))
        return comfy.sd.load_diffusion_model_state_dict(weights)


def drawn(key: str, x: torch.Tensor) -> torch.Tensor:
    """Return random numbers of x's shape, the same for a name, whatever else a release's network has."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    return 0.3 * torch.randn(x.shape, generator=generator) / max(x.shape[-1], 1) ** 0.5
