"""Train a small network of ComfyUI's own Lumina-Image-2.0 class: `python -m lumina_next.benchmarks.joint --run RUN`.

It draws some of the demo's emoji, at positions as they are in training, none squeezed, so that methods that change
positions can be judged on it. Of the pack it only takes the loop, the data and the text encoder: the network is core's.
Goes on when called again with the same --run. Needs a ComfyUI: `--comfyui`, or COMFYUI_PATH.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...nextdit.text import TextEncoder, load_text_encoder
from ...samplers import guide, integrate
from ...training.data.batches import Batch
from ...training.data.emoji.pictures import to_pixels
from ...training.loop.attention import folded_attention
from ...training.loop.flow import flow_loss
from ...training.loop.state import Run
from ...training.loop.trainer import Trainer, parser, start, train
from ..shared.comfyui import add_comfyui, import_comfyui
from ..shared.truth import DEMO
from .batches import JointBatches
from .config import CONFIG

KNOWN = 16
SHOWN = 8


class Texts:
    """Features (1, L, D) of prompts, without padding, each encoded once."""

    def __init__(self, encoder: TextEncoder):
        self.encoder = encoder
        self.known: dict[str, Tensor] = {}

    def __call__(self, prompt: str) -> Tensor:
        if prompt not in self.known:
            with torch.no_grad():
                features, mask = self.encoder([prompt])
            self.known[prompt] = features[:, : int(mask.sum())].float().clone()
        return self.known[prompt]

    def count(self, prompt: str) -> int:
        return self(prompt).shape[1]


def attend(func: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, **kwargs) -> Tensor:
    """Attend as core's attention override does, by products whose backwards is fast on a CPU."""
    return folded_attention(q, k, v, mask).transpose(1, 2).flatten(2)


def velocity(network, text: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Return the velocity of pictures x (B, 3, H, W) at times t (B,): core's time and sign are the other way round."""
    options = {"optimized_attention_override": attend} if x.device.type == "cpu" else {}
    return -network(x, 1 - t, text, text.shape[1], transformer_options=options)


class JointTask:
    """Pictures from prompts, all of a batch of one length."""

    def __init__(self, texts: Texts, batches: JointBatches, options: argparse.Namespace):
        self.texts, self.batches, self.options = texts, batches, options

    def loss(self, model, batch: Batch, generator: torch.Generator) -> Tensor:
        text = torch.cat([self.texts(prompt) for prompt in batch.prompts])
        return flow_loss(partial(velocity, model, text), batch.pictures, generator)

    def about(self, model) -> dict[str, str]:
        side = self.options.train_pixels // model.config.patch_size
        return {"train_tokens": str(side), "known": str(self.options.known)}

    @torch.no_grad()
    def show(self, model, file: Path, spent: float) -> None:
        """Draw known concepts in a row."""
        side, generator = self.options.train_pixels, torch.Generator().manual_seed(0)
        drawn = []
        for concept in self.batches.concepts[:SHOWN]:
            both = [self.texts(prompt) for prompt in (self.batches.names[concept], "")]

            def guided(x: Tensor, t: Tensor, both=both) -> Tensor:
                return guide(*(velocity(model, text, x, t.to(x.device).expand(len(x))) for text in both), 2.0)

            x = torch.randn(1, 3, side, side, generator=generator).to(both[0].device)
            drawn.append(integrate(guided, x, torch.linspace(0, 1, 11), "euler")[0])
        Image.fromarray(to_pixels(torch.cat(drawn, dim=2)[None])[0]).save(file)


class JointRun(Run):
    """A run whose checkpoint is written as core's network has it."""

    def export(self, file: Path, metadata=None) -> None:
        from . import network

        network.save(self.averaged(), file, {"steps": str(self.step), **(metadata or {})})


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "Lumina-Image-2.0, small", text=False)
    stage.set_defaults(cache=None, text_encoder=DEMO / "text_encoders" / "lumina-next-demo", dynamic=True)
    add_comfyui(stage)
    add = stage.add_argument
    add("--model", type=Path, help="checkpoint to start from (default: an untrained network)")
    add("--train-pixels", type=int, default=64, help="side of the pictures")
    add("--patch-size", type=int, help="side of a token in pixels, of an untrained network (default: 4)")
    add("--known", type=int, default=KNOWN, help="how many of the demo's concepts")
    add("--two", type=float, default=0.38, help="share of the steps with canvases for two pictures")
    add("--tokens", type=int, default=4096, help="image tokens a batch")
    return stage.parse_args(arguments)


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build network, data and optimizers from the options, and resume where --run has a state."""
    import_comfyui(options.comfyui, options.device)
    from . import network

    torch.manual_seed(options.seed)
    if options.model:
        model = network.load(options.model)
    else:
        model = network.build(CONFIG | ({"patch_size": options.patch_size} if options.patch_size else {}))
    if options.compile:  # its layers are the trainer's
        for layer in model.noise_refiner:
            layer.compile(dynamic=True)
    encoder = load_text_encoder(options.text_encoder, dtype=torch.float32, device=options.device)
    texts = Texts(encoder)
    batches = JointBatches(options, model.patch_size, texts.count)
    return start(model, JointTask(texts, batches, options), batches, options, JointRun)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    trainer = make_trainer(options)
    import comfy.model_management

    comfy.model_management.in_training = True  # core then computes what autograd can follow
    try:
        train(trainer, options.run, options.out)
    finally:
        comfy.model_management.in_training = False
