"""Between pixels and PIL's images, and pictures to disk with what made them."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, PngImagePlugin
from torch import Tensor

from ..nextdit.whole_file import whole_file
from ..version import VERSION

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What PIL raises of a file that is no picture, a damaged one, or one so large that it may be an attack."""


class Picture(Image.Image):
    """A PIL image that knows what made it: `info["parameters"]`, JSON, which `save` writes into PNG files."""

    @classmethod
    def of(cls, pixels: Tensor, parameters: Mapping[str, Any]) -> "Picture":
        """Return the picture of pixels (3, H, W) in [-1, 1]; what is outside is clipped."""
        rows = ((pixels.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        made = cls()
        made.__dict__.update(Image.fromarray(rows).__dict__)
        made.info = {"parameters": json.dumps(parameters)}
        return made

    @property
    def parameters(self) -> dict[str, Any]:
        """What made the picture."""
        return json.loads(self.info["parameters"])

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Write the picture as PIL does, its parameters too if it is a PNG; a file appears only when whole."""
        file = Path(os.fsdecode(fp)) if isinstance(fp, str | bytes | os.PathLike) else None
        suffix = "" if file is None else file.suffix.lower()
        if (format or Image.registered_extensions().get(suffix, "")).upper() != "PNG":
            return super().save(fp, format, **params)
        info = PngImagePlugin.PngInfo()
        info.add_text("parameters", self.info["parameters"])
        params.setdefault("pnginfo", info)
        if file is None:
            return super().save(fp, "png", **params)
        with whole_file(file) as unfinished:
            super().save(unfinished, "png", **params)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image as it is looked at, turned as its EXIF data say."""
    sideways = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return image.size[::-1] if sideways else image.size


def to_pixels(image: Image.Image, width: int, height: int) -> Tensor:
    """Return an image as pixels (1, 3, height, width) in [-1, 1], scaled to that size; what is transparent is white.

    A photograph is turned as its EXIF data say.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits, which convert would clip
        image = Image.fromarray((np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def versions() -> dict[str, str]:
    """Return the versions of what makes pictures."""
    found = {"python": platform.python_version(), "lumina-next": VERSION}
    for package in ("torch", "transformers"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
