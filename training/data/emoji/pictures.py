"""Pictures of the concepts: SVG to pixels, on a background, side by side."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

WHITE = (255, 255, 255)


def render(svg: str, size: int) -> np.ndarray:
    """Draw an SVG as straight RGBA uint8 (size, size, 4). Raises ImportError where resvg_py is not installed."""
    try:
        import resvg_py
    except ImportError as error:
        raise ImportError("resvg_py draws the pictures: pip install resvg_py") from error
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size)
    with Image.open(io.BytesIO(bytes(png))) as image:
        return np.asarray(image.convert("RGBA"))


def on_background(picture: np.ndarray, colour: Sequence[int] = WHITE) -> np.ndarray:
    """Lay straight RGBA uint8 (…, 4) over a colour → RGB uint8 (…, 3)."""
    alpha = picture[..., 3:].astype(np.float32) / 255
    mixed = picture[..., :3] * alpha + np.asarray(colour, np.float32) * (1 - alpha)
    return np.round(mixed).astype(np.uint8)


def canvas(pictures: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Set RGB pictures of one size side by side in the middle of a white (height, width, 3) canvas."""
    row = np.concatenate(pictures, axis=1)
    top, left = (height - row.shape[0]) // 2, (width - row.shape[1]) // 2
    whole = np.full((height, width, 3), 255, np.uint8)
    whole[top : top + row.shape[0], left : left + row.shape[1]] = row
    return whole


def to_tensor(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Turn RGB uint8 pictures of one size into (B, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(x: torch.Tensor) -> np.ndarray:
    """Turn (B, 3, H, W) in [-1, 1] into RGB uint8 (B, H, W, 3), clipping."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
