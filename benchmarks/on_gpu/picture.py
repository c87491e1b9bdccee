"""Seconds of whole pictures by the command line, VAE tiles, and one picture on two processes of one card."""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from ...nextdit import save_model
from ...nextdit.config import PRESETS
from ...nextdit.encoders.image_vae import DecoderConfig, VAEDecoder
from ...nextdit.encoders.vae_tiles import decode_tiles
from . import two_processes
from .networks import SMALL, random_network
from .stage import Setup
from .tables import Row
from .timing import free, peak, turns

ROOT = Path(__file__).parents[2]
PACK = __name__.partition(".benchmarks")[0]
ENCODER_WIDTH = 128
"""Of the demo's text encoder, which stands in for Gemma: it is there, and its time does not count."""
SDXL, SMALL_VAE = DecoderConfig((128, 256, 512, 512), 2), DecoderConfig((32, 32, 32, 32), 1)


class Files:
    """The 2B shape and SDXL's VAE with random weights, as files; tiny ones in a rehearsal."""

    def __init__(self, setup: Setup, folder: Path):
        self.model, self.vae = folder / "model.safetensors", folder / "vae.safetensors"
        config = replace(SMALL if setup.rehearse else PRESETS["2B"], text_dim=ENCODER_WIDTH)
        save_model(random_network(config, setup.device), self.model)
        save_file(decoder(setup).state_dict(), self.vae)
        free()


def decoder(setup: Setup, dtype: torch.dtype = torch.float32) -> VAEDecoder:
    """Return a VAE's decoder with random weights, drawn on the device."""
    with torch.device(setup.device):
        return VAEDecoder(SMALL_VAE if setup.rehearse else SDXL).to(dtype).eval()


def generate(setup: Setup, *options: str) -> Row:
    """Return the seconds of the command line's process, from its start to the picture."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", f"{PACK}.cli", "generate", "fox", "--device", str(setup.device), *options]
        start = time.perf_counter()
        done = subprocess.run([*words, "-o", str(Path(folder) / "fox.png")], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:]) or f"ended with {done.returncode}")
    return {"s": time.perf_counter() - start}


def tiles(setup: Setup, dtype: torch.dtype, size: int, tile: int) -> Row:
    """Decode latents of size² whole (tile 0) or in tiles."""
    vae = decoder(setup, dtype)
    latents = torch.randn(1, 4, size, size, device=setup.device, dtype=dtype)
    call = partial(decode_tiles, vae, latents, tile) if tile else partial(vae, latents)
    return {
        "s": turns({"decode": call}, setup.device, setup.budget(1.0))["decode"],
        "peak, MiB": peak(call, setup.device),
    }


def measure(setup: Setup) -> None:
    """Write the tables: whole pictures, of which each starts a process, last."""
    decode(setup)
    side, steps = (128, "1") if setup.rehearse else (1024, "10")
    both: Row = {"size": f"{side}²", "layers": 2 if setup.rehearse else 8}
    setup.tables.row("Two processes on one device", both, partial(two_processes.measure_row, setup))
    with tempfile.TemporaryDirectory() as folder:
        files = Files(setup, Path(folder))
        large = ["--model", str(files.model), "--vae", str(files.vae), "--train-size", str(side), "--steps", steps]
        for size in (side,) if setup.rehearse else (side, 2 * side):
            options = [*large, "--width", str(size), "--height", str(size)]
            key = {"model": "tiny" if setup.rehearse else "2B", "size": f"{size}²", "steps": steps}
            setup.tables.row("A picture by the command line", key, partial(generate, setup, *options))
        if not setup.rehearse:
            key = {"model": "demo", "size": "64²", "steps": steps}
            setup.tables.row("A picture by the command line", key, partial(generate, setup, "--steps", steps))


def decode(setup: Setup) -> None:
    """Write the table of the VAE."""
    size = 8 if setup.rehearse else 128
    for dtype in (torch.float32, torch.bfloat16):
        for latents, tile in ((size, 0), (2 * size, 0), (2 * size, size), (2 * size, size // 2)):
            key = {"numbers": str(dtype).removeprefix("torch."), "size": f"{8 * latents}²", "tile": tile or "whole"}
            setup.tables.row("Decoding", key, partial(tiles, setup, dtype, latents, tile))
            free()
