"""`python -m lumina_next.tests.support.core_lumina_alone COMFYUI FILE`: Scaled RoPE on core's Lumina in that release.

Writes samples of a random network with the node, and what they must be, as JSON: how far they are from each other.
"""

import json
import math
import sys
from pathlib import Path

from torch import Tensor, nn

from lumina_next.benchmarks.shared.comfyui import import_comfyui

TRAIN, GRID = 128, (12, 20)
"""Training size in pixels, and the tokens of what is sampled."""


class Squeezed(nn.Module):
    """A position embedding of rows and columns divided by the factor; those of texts are 0."""

    def __init__(self, plain: nn.Module):
        super().__init__()
        self.plain = plain

    def forward(self, ids: Tensor) -> Tensor:
        ids = ids.clone().float()
        ids[..., 1:] /= math.sqrt(math.prod(GRID)) / (TRAIN / 16)
        return self.plain(ids)


def main(comfyui: Path, file: Path) -> None:
    import_comfyui(comfyui)
    from lumina_next.nodes.adapter.patches.scaled_rope import describe, scale_rope
    from lumina_next.tests.support.patch_models import load, prompt, sample

    model, found = load("lumina_image_2"), {}
    squeezed = model.clone()
    embedder = model.get_model_object("diffusion_model.rope_embedder")
    squeezed.add_object_patch("diffusion_model.rope_embedder", Squeezed(embedder))
    cases = {"one": {}, "two, texts of two lengths": {"batch": 2, "negative": prompt(9, 1)}}
    for name, options in cases.items():
        wanted = sample(squeezed, **options)
        scaled, _ = scale_rope(model, "interpolation", TRAIN)
        found[name] = (sample(scaled, **options) - wanted).abs().max().item()
        found[f"{name}, plain"] = (sample(model, **options) - wanted).abs().max().item()
    chosen, settings = scale_rope(model, "auto", TRAIN)
    named, _ = scale_rope(model, settings.method, TRAIN)
    found["auto"] = (sample(chosen) - sample(named)).abs().max().item()
    found["said"] = describe(settings, GRID, 16)
    file.write_text(json.dumps(found), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
