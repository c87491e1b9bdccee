"""A node pack for tests only: ComfyUI tells Z-Image by its released widths, so that no small file can stand in for it.

Its two nodes hand out what the loaders and the text node of the Z-Image workflow would: a small random network of
core's own, and features that fit it.
"""

import importlib.util
from pathlib import Path

import torch


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
        return (models.load_core(models.Z_IMAGE),)


class StandInText:
    CATEGORY, FUNCTION, RETURN_TYPES = "tests", "encode", ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def encode(self):
        features = torch.randn(1, 6, core_models().Z_IMAGE["cap_feat_dim"], generator=torch.Generator().manual_seed(0))
        return ([[features, {}]],)


NODE_CLASS_MAPPINGS = {"StandInZImage": StandInZImage, "StandInText": StandInText}
