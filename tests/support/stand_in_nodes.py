"""A node pack for tests only: ComfyUI tells Z-Image by its released widths, so that no small file can stand in for it.

Its nodes hand out what the loaders and the text node of the Z-Image workflows would: a small random network of core's
own, and features that fit it.
"""

import importlib.util
import zlib
from pathlib import Path

import comfy.sd
import comfy.utils
import folder_paths
import torch
import torch.nn.functional as F


def core_models():
    """Return tests/support/core_models.py, which is in no package of the server's."""
    file = Path(__file__).resolve().with_name("core_models.py")
    spec = importlib.util.spec_from_file_location("core_models", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class StandInZImage:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "load", ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        models = core_models()
        model = models.load_core(models.Z_IMAGE)
        model.cached_patcher_init = (lambda **_: models.load_core(models.Z_IMAGE), ())  # Train LoRA loads it again
        return (model,)


def conditioning(text: str) -> list:
    """Features that depend on the text."""
    seed = torch.Generator().manual_seed(zlib.crc32(text.encode()))
    return [[torch.randn(1, 6, core_models().Z_IMAGE["cap_feat_dim"], generator=seed), {}]]


class StandInText:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "encode", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def encode(self):
        return (conditioning(""),)


class Clip:
    """What Make Training Dataset asks of a CLIP."""

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list:
        return conditioning(tokens)


class StandInClip:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "load", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        return (Clip(),)


class StandInVae:
    """ComfyUI's VAE on a decoder alone: with an encoder it knows one width only, of 300 MB."""

    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "load", ("VAE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        file = folder_paths.get_full_path_or_raise("vae", "ae.safetensors")
        vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(file))
        vae.encode = lambda image: F.avg_pool2d(image.movedim(-1, 1).mean(1, keepdim=True).repeat(1, 16, 1, 1) - 0.5, 8)
        return (vae,)


NODE_CLASS_MAPPINGS = {
    "StandInZImage": StandInZImage,
    "StandInText": StandInText,
    "StandInClip": StandInClip,
    "StandInVae": StandInVae,
}
