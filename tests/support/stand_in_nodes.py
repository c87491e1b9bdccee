"""A node pack for tests only: ComfyUI tells Z-Image by its released widths, so that no small file can stand in for it.

Its nodes hand out what the loaders and the text node of the workflows for core's own models would: small random
networks of core's own, and features that fit them.
"""

import importlib
import sys
import zlib
from pathlib import Path
from types import ModuleType

import comfy.sd
import comfy.utils
import folder_paths
import torch
import torch.nn.functional as F
from comfy.ldm.wan.vae import WanVAE


def beside(name: str):
    """Return a module of tests/support, which is in no package of the server's."""
    package = sys.modules.setdefault("stand_in_support", ModuleType("stand_in_support"))
    package.__path__ = [str(Path(__file__).resolve().parent)]
    return importlib.import_module(f"stand_in_support.{name}")


def core_models():
    return beside("core_models")


class StandIn:
    """A node without inputs, whose `load` makes its only output."""

    CATEGORY, FUNCTION = "tests", "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}


class StandInFamily(StandIn):
    """A random network of one of the cases in core_families."""

    RETURN_TYPES = ("MODEL",)
    CASE: str

    def load(self):
        families = beside("core_families")
        return (families.load_family(families.CASES[self.CASE]),)


class StandInZImage(StandIn):
    RETURN_TYPES = ("MODEL",)

    def load(self):
        models = core_models()
        model = models.load_core(models.Z_IMAGE)
        model.cached_patcher_init = (lambda **_: models.load_core(models.Z_IMAGE), ())  # Train LoRA loads it again
        return (model,)


class StandInQwenImage(StandInFamily):
    CASE = "Qwen-Image"


class StandInKrea2(StandInFamily):
    CASE = "Krea 2"


class StandInWan(StandInFamily):
    CASE = "Wan"


def conditioning(text: str) -> list:
    """Features that depend on the text."""
    seed = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    return [[torch.randn(1, 6, core_models().Z_IMAGE["cap_feat_dim"], generator=seed), {}]]


class StandInText(StandIn):
    RETURN_TYPES = ("CONDITIONING",)

    def load(self):
        return (conditioning(""),)


class Clip:
    """What Make Training Dataset asks of a CLIP."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list:
        return conditioning(tokens)


class StandInClip(StandIn):
    RETURN_TYPES = ("CLIP",)

    def load(self):
        return (Clip(),)


class StandInVae(StandIn):
    """ComfyUI's VAE on a decoder alone: with an encoder it knows one width only, of 300 MB."""

    RETURN_TYPES = ("VAE",)

    def load(self):
        file = folder_paths.get_full_path_or_raise("vae", "ae.safetensors")
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(file))
        vae.encode = lambda image: F.avg_pool2d(image.movedim(-1, 1).mean(1, keepdim=True).repeat(1, 16, 1, 1) - 0.5, 8)
        return (vae,)


def drawn(x: torch.Tensor) -> torch.Tensor:
    """Random numbers for a kernel, zeros for a bias, whose memory core leaves as it finds it, gammas as they are."""
    if x.ndim == 1:
        return torch.zeros_like(x)
    return x if x[0].numel() == 1 else torch.randn_like(x) / x[0].numel() ** 0.5


class StandInWanVae(StandIn):
    RETURN_TYPES = ("VAE",)

    def load(self):
        torch.manual_seed(0)
        vae = WanVAE(dim=16, z_dim=16, attn_scales=[], temperal_downsample=[False, True, True])
        weights = {name: drawn(x) for name, x in vae.state_dict().items()}  # an untrained one paints everything grey
        return (comfy.sd.VAE(sd=weights),)


NODE_CLASS_MAPPINGS = {
    "StandInKrea2": StandInKrea2,
    "StandInQwenImage": StandInQwenImage,
    "StandInWan": StandInWan,
    "StandInWanVae": StandInWanVae,
    "StandInZImage": StandInZImage,
    "StandInText": StandInText,
    "StandInClip": StandInClip,
    "StandInVae": StandInVae,
}
