"""Pictures to disk, with what made them."""

import json
import os
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor


def write_png(file: Path, pixels: Tensor, parameters: dict) -> None:
    """Write pixels (3, H, W) in [-1, 1] as PNG, `parameters` as JSON in its metadata; it appears only when whole."""
    rows = ((pixels.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", json.dumps(parameters))
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.unfinished")
    try:
        Image.fromarray(rows).save(unfinished, "png", pnginfo=info)
        os.replace(unfinished, file)
    finally:
        unfinished.unlink(missing_ok=True)
