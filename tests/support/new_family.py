"""What a new family has to be able to do, run in a copy of the pack that has one more: CONTRIBUTING.md's toy.

`python -m lumina_next.tests.support.new_family CACHE TEXT_ENCODER RUN`, with the copy's parent in PYTHONPATH.
"""

import asyncio
import runpy
import sys
from pathlib import Path

import torch

from lumina_next.nextdit import load_model, save_model
from lumina_next.nextdit.checkpoint import describe
from lumina_next.tests.support.comfy_server import find_comfyui


def train(cache: Path, text_encoder: Path, run: Path, steps: int) -> Path:
    """Train by the family's own command; returns the checkpoint."""
    given = ["--cache", cache, "--text-encoder", text_encoder, "--run", run, "--steps", steps, "--sizes", "64x64"]
    given += ["--tokens", "512", "--no-compile", "--no-samples", "--warmup", "5", "--rate", "3e-3", "--device", "cpu"]
    sys.argv = ["toy", *map(str, given)]
    runpy.run_module("lumina_next.training.tasks.toy", run_name="__main__")
    return run / "model.safetensors"


def import_comfyui() -> None:
    """Import ComfyUI as its main.py does, on the CPU, and let the pack register its families."""
    sys.path.insert(0, str(find_comfyui()))
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_management  # noqa: F401 - reads the command line
    import utils.install_util  # noqa: F401 - before nodes, which would find comfy/utils.py under this name

    import nodes  # noqa: F401
    from lumina_next.nodes import LuminaNextExtension

    asyncio.run(LuminaNextExtension().on_load())


def main(cache: Path, text_encoder: Path, run: Path) -> None:
    file = train(cache, text_encoder, run, 20)
    assert describe(file).family.name == "toy"
    trained = load_model(file, family="toy")
    assert trained.tone.weight.abs().max() > 0
    save_model(trained, run / "again.safetensors")
    again = load_model(run / "again.safetensors")
    assert type(again) is type(trained) and torch.equal(again.tone.weight, trained.tone.weight)

    import_comfyui()
    import comfy.sd
    import comfy.utils

    from lumina_next.nodes.adapter.models import loading
    from lumina_next.tests.support.patch_models import prompt, sample

    model = loading.load(file)
    assert type(model.model).__name__ == "Toy"
    width = trained.config.text_dim
    texts = {"positive": prompt(6, width=width), "negative": prompt(6, 1, width=width)}
    picture = sample(model, **texts)
    comfy.sd.save_checkpoint(str(run / "saved.safetensors"), model)
    assert torch.equal(sample(loading.load(run / "saved.safetensors"), **texts), picture)
    with torch.no_grad():
        model.model.diffusion_model.tone.weight.zero_()
    assert not torch.equal(sample(model, **texts), picture)
    print("a new family works")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
