"""Small random networks of ComfyUI's own families, each with a latent, conds, and where the image stands in them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import comfy.model_detection
import comfy.ops
import comfy.sd
import pytest
import torch
from torch import Tensor

from .core_configs import (
    BOOGU,
    CHROMA,
    ERNIE,
    FLUX,
    FLUX_2,
    HIDREAM,
    HUNYUAN,
    HUNYUAN_15,
    HUNYUAN_IMAGE,
    KANDINSKY,
    KREA,
    LENS,
    MAGE,
    OMNIGEN,
    QWEN,
    RADIANCE,
    WAN,
    Z_IMAGE_PIXELS,
)

TEXT = 5


def noise(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Case:
    """A network by its class within comfy.ldm, what it is built from, and a call of it.

    `latent` is its size, `image` where the image's tokens are in its sequence, of `length`; `known` is what detection
    finds beside `config`, `grid` rows and columns of tokens, `frames` how many of those.
    """

    network: str
    config: dict[str, Any]
    text: int
    latent: tuple[int, ...]
    grid: tuple[int, int]
    image: slice
    length: int
    conds: Callable[[], dict[str, Any]] = dict
    known: dict[str, Any] = field(default_factory=dict)
    frames: int = 1
    layers: int = 2


def references(channels: int, *sizes: tuple[int, ...]) -> dict[str, Any]:
    return {"ref_latents": [noise(1, channels, *size, seed=i + 5) for i, size in enumerate(sizes)]}


def flux(**more) -> dict[str, Any]:
    return {"y": noise(1, 12), "guidance": torch.tensor([3.5]), **more}


CASES = {
    "FLUX.1": Case("flux.model.Flux", FLUX, 20, (16, 24, 40), (12, 20), slice(5, 245), 245, flux),
    "FLUX.1 with references": Case(
        "flux.model.Flux",
        FLUX,
        20,
        (16, 24, 40),
        (12, 20),
        slice(5, 245),
        271,
        lambda: flux(**references(16, (8, 10), (6, 4))),
    ),
    "FLUX.2 with a reference": Case(
        "flux.model.Flux",
        FLUX_2,
        20,
        (128, 12, 20),
        (12, 20),
        slice(5, 245),
        285,
        lambda: {"guidance": torch.tensor([3.5]), **references(128, (8, 5))},
        {"image_model": "flux2"},
    ),
    "Chroma": Case(
        "chroma.model.Chroma",
        CHROMA,
        20,
        (16, 24, 40),
        (12, 20),
        slice(5, 245),
        245,
        lambda: {"guidance": torch.tensor([0.0]), **references(16, (8, 10))},  # which it does not look at
    ),
    "Chroma1-Radiance": Case(
        "chroma_radiance.model.ChromaRadiance",
        RADIANCE,
        20,
        (3, 48, 80),
        (12, 20),
        slice(5, 245),
        245,
        lambda: {"guidance": torch.tensor([0.0])},
    ),
    "Z-Image in pixel space": Case(
        "lumina.model.NextDiTPixelSpace",
        Z_IMAGE_PIXELS,
        20,
        (3, 48, 80),
        (12, 20),
        slice(16, 256),
        256,
        lambda: {"num_tokens": TEXT},
    ),
    "Qwen-Image": Case(
        "qwen_image.model.QwenImageTransformer2DModel", QWEN, 20, (16, 1, 24, 40), (12, 20), slice(5, 245), 245
    ),
    "Qwen-Image-Edit": Case(
        "qwen_image.model.QwenImageTransformer2DModel",
        QWEN,
        20,
        (16, 1, 23, 40),
        (12, 20),
        slice(5, 245),
        265,
        lambda: references(16, (1, 8, 10)) | {"attention_mask": torch.tensor([[1, 1, 1, 1, 0]])},
    ),
    "Krea 2": Case("krea2.model.SingleStreamDiT", KREA, 20, (16, 1, 24, 40), (12, 20), slice(5, 245), 245),
    "Krea 2 with a reference": Case(
        "krea2.model.SingleStreamDiT",
        KREA,
        20,
        (16, 1, 24, 40),
        (12, 20),
        slice(5, 245),
        265,
        lambda: references(16, (1, 8, 10)) | {"ref_latents_method": "index"},
    ),
    "Mage-Flow": Case(
        "mage_flow.model.MageFlowTransformer2DModel", MAGE, 20, (128, 12, 20), (12, 20), slice(5, 245), 245
    ),
    "Mage-Flow-Edit": Case(
        "mage_flow.model.MageFlowTransformer2DModel",
        MAGE,
        20,
        (128, 12, 20),
        (12, 20),
        slice(5, 245),
        265,
        lambda: references(128, (4, 5)) | {"attention_mask": torch.tensor([[1, 1, 1, 1, 0]])},
    ),
    "Lens": Case(
        "lens.model.LensTransformer2DModel",
        LENS,
        20,
        (128, 12, 20),
        (12, 20),
        slice(0, 240),
        245,
        lambda: {"attention_mask": torch.tensor([[1, 1, 1, 1, 0]])},
    ),
    "HunyuanImage-2.1": Case(
        "hunyuan_video.model.HunyuanVideo",
        HUNYUAN_IMAGE,
        20,
        (64, 12, 20),
        (12, 20),
        slice(8, 248),
        248,
        lambda: {"guidance": torch.tensor([3.5]), "txt_byt5": noise(1, 3, 1472)},
        {"vec_in_dim": None},
    ),
    "HunyuanVideo with a reference": Case(
        "hunyuan_video.model.HunyuanVideo",
        HUNYUAN,
        20,
        (16, 2, 24, 40),
        (12, 20),
        slice(245, 725),
        725,
        lambda: flux(ref_latent=noise(1, 16, 1, 24, 40)),
        frames=2,
    ),
    "HunyuanVideo 1.5": Case(
        "hunyuan_video.model.HunyuanVideo",
        HUNYUAN_15,
        20,
        (32, 2, 12, 20),
        (12, 20),
        slice(5 + 3 + 4, 492),
        492,
        lambda: {"txt_byt5": noise(1, 3, 1472), "clip_fea": noise(1, 4, 24)},
        frames=2,
    ),
    "OmniGen2": Case(
        "omnigen.omnigen2.OmniGen2Transformer2DModel",
        OMNIGEN,
        20,
        (16, 24, 40),
        (12, 20),
        slice(25, 265),
        265,
        lambda: references(16, (8, 10)) | {"num_tokens": TEXT},
    ),
    "Boogu-Image": Case(
        "boogu.model.BooguTransformer2DModel",
        BOOGU,
        20,
        (16, 24, 40),
        (12, 20),
        slice(25, 265),
        265,
        lambda: references(16, (8, 10)) | {"num_tokens": TEXT},
    ),
    "HiDream-I1": Case(
        "hidream.model.HiDreamImageTransformer2DModel",
        HIDREAM,
        20,
        (16, 24, 40),
        (12, 20),
        slice(0, 240),
        240 + 5 + 2 * 3,
        lambda: {"y": noise(1, 12), "encoder_hidden_states_llama3": noise(1, 2, 3, 24)},
    ),
    "ERNIE-Image": Case("ernie.model.ErnieImageModel", ERNIE, 20, (128, 12, 20), (12, 20), slice(0, 240), 245),
    "Wan": Case("wan.model.WanModel", WAN, 20, (16, 3, 24, 40), (12, 20), slice(0, 720), 720, frames=3),
    "Wan with a reference": Case(
        "wan.model.WanModel",
        WAN,
        20,
        (16, 2, 24, 40),
        (12, 20),
        slice(0, 480),
        720,
        lambda: {"context_latents": [noise(1, 16, 1, 24, 40)]},
        frames=2,
    ),
    "Kandinsky 5": Case(
        "kandinsky5.model.Kandinsky5",
        KANDINSKY,
        20,
        (16, 24, 40),
        (12, 20),
        slice(0, 240),
        240,
        lambda: {"y": noise(1, 12)},
    ),
}
IMAGE_MODELS = {"flux": "flux", "chroma": "chroma", "qwen_image": "qwen_image", "krea2": "krea2", "ernie": "ernie"}
IMAGE_MODELS |= {"omnigen": "omnigen2", "hidream": "hidream", "wan": "wan2.1", "kandinsky5": "kandinsky5"}
IMAGE_MODELS |= {"mage_flow": "mage_flow", "lens": "lens", "boogu": "boogu", "hunyuan_video": "hunyuan_video"}
IMAGE_MODELS |= {"chroma_radiance": "chroma_radiance", "lumina": "zimage_pixel"}


def load_family(case: Case):
    """Return the MODEL of a random network; core's detection, which knows the released sizes, is told ours."""
    module, _, name = case.network.rpartition(".")
    network_class = getattr(import_module(f"comfy.ldm.{module}"), name)
    torch.manual_seed(0)
    network = network_class(**case.config, dtype=torch.float32, device="cpu", operations=comfy.ops.disable_weight_init)
    weights = {
        key: 0.3 * noise(*x.shape, seed=i) / max(x.shape[-1], 1) ** 0.5
        for i, (key, x) in enumerate(network.state_dict().items())
    }
    weights |= {key: 1.0 + x for key, x in weights.items() if x.ndim == 1 and "norm" in key and "bias" not in key}
    config = case.config | {"image_model": IMAGE_MODELS[module.split(".")[0]]} | case.known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_detection, "detect_unet_config", lambda *args, **kwargs: dict(config))
        return comfy.sd.load_diffusion_model_state_dict(weights)


def call(model, x: Tensor, case: Case, override=None, sigma: float | Tensor = 0.9, **more) -> Tensor:
    """Evaluate a MODEL once; override(func, q, k, v, …) may look at attention."""
    options = model.model_options["transformer_options"] | {"wrappers": model.wrappers}
    options |= {"optimized_attention_override": override} if override else {}
    text, times = noise(1, TEXT, case.text, seed=3).expand(len(x), -1, -1), torch.as_tensor(sigma).expand(len(x))
    model.patch_model()
    model.model.current_patcher = model
    try:
        with torch.no_grad():
            conds = case.conds() | more | {"transformer_options": options}
            return model.model.apply_model(x, times, c_crossattn=text, **conds)
    finally:
        model.model.current_patcher = None
        model.unpatch_model()
