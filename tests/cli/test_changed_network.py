"""`lumina-next generate` with a changed network: LoRAs, and torch.compile."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lumina_next.demo import FOLDER as DEMO
from lumina_next.nextdit import load_model, save_model
from lumina_next.tests.cli.test_generate import QUICK, generate, pixels


def lora(file: Path, width: int = 192) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"diffusion_model.layers.{n}.attention.wq.lora_{side}.weight": 0.3 * torch.randn(shape, generator=generator)
        for n in range(6)
        for side, shape in (("up", (192, 4)), ("down", (4, width)))
    }
    save_file(tensors, file)
    return tensors


def test_loras_are_added_to_the_model():
    tensors = lora(Path("a,b.safetensors"))
    options = ("fox", "--cfg", "1", "--dtype", "fp32")
    generate(*options, "-o", "plain.png")
    generate(*options, "--lora", "a,b.safetensors,0.25", "--lora", "a,b.safetensors,0.5", "-o", "fox.png")
    model = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", dtype=torch.float32)
    for n, layer in enumerate(model.layers):
        up, down = (tensors[f"diffusion_model.layers.{n}.attention.wq.lora_{s}.weight"] for s in ("up", "down"))
        layer.attention.wq.weight.data += 0.75 * up @ down
    save_model(model, Path("changed.safetensors"))
    generate(*options, "--model", "changed.safetensors", "--train-size", "64", "-o", "expected.png")
    assert (pixels("fox.png") - pixels("expected.png")).abs().max() <= 1
    assert (pixels("fox.png") - pixels("plain.png")).abs().max() > 20
    with Image.open("fox.png") as image:
        assert json.loads(image.text["parameters"])["loras"] == ["a,b.safetensors,0.25", "a,b.safetensors,0.5"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone.safetensors,0.5", "--lora gone.safetensors does not exist"),
        ("fits.safetensors,nan", "--lora fits.safetensors must have a finite strength, got nan"),
        ("wide.safetensors", "it was made for a model of another size"),
        ("text.safetensors", "no key matches this model; its keys look like a text encoder"),
    ],
)
def test_a_lora_that_cannot_work_is_said_in_one_line(given, message, fails):
    lora(Path("fits.safetensors"))
    lora(Path("wide.safetensors"), width=200)
    save_file({"lora_te_text_model_mlp.lora_up.weight": torch.zeros(4, 4)}, "text.safetensors")
    assert message in fails("generate", "fox", "--lora", given, *QUICK)


def test_a_compiled_picture_is_the_same(monkeypatch):
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: whole(model, backend="eager", fullgraph=True))
    size = ("--width", "16", "--height", "16", "--cfg", "1", "--dtype", "fp32")
    generate("fox", *size, "-o", "plain.png")
    generate("fox", *size, "--compile", "-o", "compiled.png")
    assert (pixels("plain.png") - pixels("compiled.png")).abs().max() <= 1
