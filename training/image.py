"""Stage 3, `python -m lumina_next.training.image`: flow matching of a Next-DiT.

Trains the demo checkpoint on the prepared emoji, or with `--images FOLDER` fine-tunes `--model FILE` on a folder of
captioned images. Stops after `--minutes` and goes on from the next step when called again with the same `--run`.
"""

import argparse
import os
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from tqdm import tqdm

from ..nextdit import NextDiT, NextDiTConfig, load_model
from ..nextdit.text import TextEncoder, load_text_encoder
from .attention import folded_attention
from .batches import BUCKETS, Batch, EmojiBatches
from .flow import flow_loss, initialise
from .folder import FolderBatches
from .optimisation import Warmup, optimizers
from .pictures import to_pixels
from .prepare import default_cache
from .sampling import noise, sample
from .state import Run

TEXT_TOKENS = 32  # a fixed length, so that one compilation serves all batches of a size
SHOWN = ("dog face", "avocado, red apple", "ロケット", "🐸", "猫脸", "pizza on a blue background", "сердце", "maison")


def demo_config(text_dim: int) -> NextDiTConfig:
    """Return the demo's architecture: pixels, patch 4, three heads of 64."""
    return NextDiTConfig(
        dim=192,
        n_layers=6,
        n_heads=3,
        n_kv_heads=1,
        text_dim=text_dim,
        in_channels=3,
        out_channels=3,
        patch_size=4,
        ffn_dim=512,
        time_dim=192,
    )


class Trainer:
    """One training step after the other; computes in bfloat16, keeps weights in float32."""

    def __init__(self, run: Run, encoder: TextEncoder, batches, schedule: Warmup, options: argparse.Namespace):
        self.run, self.encoder, self.batches, self.schedule, self.options = run, encoder, batches, schedule, options
        self.device = next(run.model.parameters()).device
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in run.optimizers]
        if options.compile:  # layer by layer: one compilation for all of them
            for layer in run.model.layers:
                layer.compile(dynamic=False)

    def velocity(self, x: Tensor, t: Tensor, text: Tensor, mask: Tensor, positions) -> Tensor:
        replace = None
        if self.options.checkpoint_gradients:

            def recompute(tokens, run):
                return checkpoint(run, tokens, use_reentrant=False)

            replace = {i: recompute for i in range(self.run.model.config.n_layers)}
        attend = folded_attention if x.device.type == "cpu" else None
        return self.run.model.velocity(x, t, text, mask, attend=attend, replace=replace, positions=positions)

    def text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Return features and mask of the frozen text encoder, padded to a multiple of TEXT_TOKENS."""
        with torch.no_grad():
            features, mask = self.encoder(prompts)
        more = -features.shape[1] % TEXT_TOKENS
        features, mask = F.pad(features, (0, 0, 0, more)), F.pad(mask, (0, more))
        return features.to(self.device, torch.float32), mask.to(self.device).bool()

    @property
    def spent(self) -> float:
        """Part of the planned steps, or of the planned minutes if that is more, that is over (0 to 1)."""
        return max(self.run.step / self.options.steps, self.run.seconds / (60 * self.options.plan_minutes))

    def step(self, batch: Batch) -> Tensor:
        """Do one step on a batch and return its loss."""
        run, spent = self.run, self.spent
        for optimizer, rates in zip(run.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self.schedule(run.step, spent)
        text, mask = self.text(batch.prompts)
        positions = batch.positions and [p.to(self.device) for p in batch.positions]
        generator = torch.Generator().manual_seed(1_000_003 * self.options.seed + run.step)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = flow_loss(
                lambda x, t: self.velocity(x, t, text, mask, positions), batch.pictures.to(self.device), generator
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), 1.0)
        for optimizer in run.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        run.average.update(run.model.named_parameters())
        run.step += 1
        return loss.detach()


def grid(model: NextDiT, encoder: TextEncoder, file: Path, size: int) -> None:
    """Write a row of samples of SHOWN as a picture file."""
    rows = sample(model, encoder, SHOWN, noise(range(len(SHOWN)), size, size), steps=10, guidance=2.0)
    Image.fromarray(to_pixels(torch.cat(list(rows), dim=2)[None])[0]).save(file)


def train(trainer: Trainer, folder: Path, out: Path | None) -> list[float]:
    """Run until the planned steps or minutes are over; save, export and sample on the way; return the losses."""
    options, run, losses = trainer.options, trainer.run, []
    start = last = saved = time.monotonic()
    shown = 0.0
    with tqdm(total=options.steps, initial=run.step, desc="Next-DiT", mininterval=10) as progress:
        while trainer.spent < 1 and last - start < 60 * options.minutes:
            loss = trainer.step(trainer.batches.draw(run.step, trainer.spent)).item()
            losses.append(loss)
            shown = loss if len(losses) == 1 else 0.98 * shown + 0.02 * loss
            progress.set_postfix(loss=f"{shown:.4f}", refresh=False)
            progress.update()
            now = time.monotonic()
            run.seconds, last = run.seconds + now - last, now
            if now - saved > 60 * options.save_every:
                keep(trainer, folder, out)
                saved = now
    keep(trainer, folder, out)
    return losses


def keep(trainer: Trainer, folder: Path, out: Path | None) -> None:
    """Write state, checkpoint and, for models that draw pixels, samples."""
    run = trainer.run
    run.save(folder / "state.pt")
    about = {"title": trainer.options.title}
    if not trainer.options.images:  # what Scaled RoPE goes by: the emoji are 64 pixels a side
        about["train_tokens"] = str(64 // run.model.config.patch_size)
    run.export(out or folder / "model.safetensors", about)
    if trainer.options.samples and run.model.config.in_channels == 3:
        grid(run.averaged(), trainer.encoder, folder / f"samples-{run.step:06d}.png", 64)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--cache", type=Path, default=default_cache(), help="what stage 1 wrote")
    add("--text-encoder", type=Path, required=True, help="HF folder of the frozen LLM")
    add("--run", type=Path, required=True, help="folder of the state and the samples; resumes if there is one")
    add("--out", type=Path, help="checkpoint to write (default: in --run)")
    add("--model", type=Path, help="Next-DiT checkpoint to start from (default: an untrained one of the demo's size)")
    add("--images", type=Path, help="folder of images with .txt captions (default: the prepared emoji)")
    add("--sizes", help="HEIGHTxWIDTH,… in pixels: of --images (default 64x64), or some of the demo's (default all)")
    add("--steps", type=int, default=5000, help="steps of the whole run: the learning rate falls to 0 there")
    add("--plan-minutes", type=float, default=1e9, help="end the whole run, rate and all, by so many minutes")
    add("--minutes", type=float, default=1e9, help="stop this call after so many minutes")
    add("--tokens", type=int, default=6144, help="image tokens a batch")
    add("--rate", type=float, default=1e-3, help="learning rate")
    add("--warmup", type=int, default=100)
    add("--cooldown", type=float, default=0.4, help="last part of the run in which the rate falls")
    add("--muon", type=float, default=0.0, help="learning rate of Muon for the layers' matrices (0: AdamW for all)")
    add("--average", type=float, default=0.998, help="decay of the moving average of weights")
    add("--save-every", type=float, default=5.0, help="minutes between saved states")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--title", default="Lumina-Next demo")
    add("--compile", action=argparse.BooleanOptionalAction, default=True)
    add("--checkpoint-gradients", action="store_true", help="recompute layers backwards: less memory, more time")
    add("--samples", action=argparse.BooleanOptionalAction, default=True, help="draw sample rows with each saved state")
    return parser.parse_args(arguments)


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
    if options.model:
        model = load_model(options.model, dtype=torch.float32)
    else:
        model = initialise(demo_config(encoder.width))
    model = model.to(options.device).train()
    if model.config.in_channels != 3:
        raise ValueError(
            f"training works on pixels: {options.model} takes {model.config.in_channels} channels, expected 3"
        )
    patch = model.config.patch_size
    sizes = tuple((int(h), int(w)) for h, w in (size.split("x") for size in (options.sizes or "").split(",") if size))
    if options.images:
        batches = FolderBatches(options.images, sizes or ((64, 64),), options.tokens, patch, options.seed)
    else:
        buckets = tuple(bucket for bucket in BUCKETS if not sizes or (bucket.height, bucket.width) in sizes)
        batches = EmojiBatches(options.cache, options.tokens, patch, options.seed, buckets)
    run = Run(model, optimizers(model, options.rate, options.muon), options.average)
    trainer = Trainer(run, encoder, batches, Warmup(options.warmup, options.cooldown), options)
    options.run.mkdir(parents=True, exist_ok=True)
    if (options.run / "state.pt").is_file():
        run.resume(options.run / "state.pt")
    return trainer


def main() -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = parse()
    train(make_trainer(options), options.run, options.out)


if __name__ == "__main__":
    main()
