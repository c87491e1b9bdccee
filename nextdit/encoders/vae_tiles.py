"""Decode latents in tiles where the whole picture would take too much memory."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

WHOLE = 192 * 192
"""Latent pixels that are decoded at once: 1536² in the picture, 7 GiB with SDXL's VAE in float32; 2048² takes 12."""

TILES = (128, 64, 32)
"""Sides of tiles in latent pixels, each tried when memory is too short for the one before."""


def decode(decoder: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """Return the pixels (B, 3, s·h, s·w) of latents (B, C, h, w), as `decoder` alone does up to WHOLE latent pixels.

    Larger batches are decoded one by one, larger pictures in tiles, and all in smaller tiles when memory runs out;
    tiles are joined in the CPU's memory. Raises what `decoder` raises, when memory is too short for the smallest tile.
    """
    height, width = latents.shape[-2:]
    ways: list[Callable[[Tensor], Tensor]] = []
    if latents.shape[0] * height * width <= WHOLE:
        ways.append(decoder)
    elif height * width <= WHOLE:
        ways.append(lambda x: torch.cat([decoder(one).cpu() for one in x.split(1)]))
    ways += [partial(decode_tiles, decoder, tile=tile) for tile in TILES if tile < max(height, width)]
    ways = ways or [decoder]
    for way in ways[:-1]:
        try:
            return way(latents)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
    return ways[-1](latents)


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is about memory; only CUDA's and XPU's have a class of their own."""
    words = ("out of memory", "not enough memory", "can't allocate memory")
    said = isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)


def decode_tiles(decoder: Callable[[Tensor], Tensor], latents: Tensor, tile: int) -> Tensor:
    """Decode tiles of `tile`² latent pixels that overlap by a quarter, blended linearly, into one on the CPU."""
    rows, columns = (spread(length, tile) for length in latents.shape[-2:])
    pictures = []
    for one in latents.split(1):
        out = total = torch.zeros(())
        for top in rows:
            for left in columns:
                pixels = decoder(one[..., top : top + tile, left : left + tile]).cpu()
                s = pixels.shape[-1] // min(tile, latents.shape[-1])
                if out.ndim == 0:
                    size = [s * length for length in latents.shape[-2:]]
                    out, total = pixels.new_zeros(*pixels.shape[:2], *size), pixels.new_zeros(size)
                place = ..., slice(s * top, s * (top + tile)), slice(s * left, s * (left + tile))
                weight = torch.outer(
                    ramps(pixels.shape[-2], s * tile // 4, top > 0, top < rows[-1]),
                    ramps(pixels.shape[-1], s * tile // 4, left > 0, left < columns[-1]),
                )
                out[place] += weight * pixels
                total[place] += weight
        pictures.append(out.div_(total))
    return torch.cat(pictures)


def spread(length: int, tile: int) -> list[int]:
    """Return where tiles begin that cover `length` evenly and overlap by a quarter at least."""
    if length <= tile:
        return [0]
    count = 1 + -(-(length - tile) // (tile - tile // 4))
    return [i * (length - tile) // (count - 1) for i in range(count)]


def ramps(length: int, width: int, before: bool, after: bool) -> Tensor:
    """Return weights (length,) that rise over `width` from an edge with a neighbour; 1 elsewhere."""
    rise = (torch.arange(length) + 0.5).div(width).clamp(max=1.0)
    return (rise if before else torch.ones(length)) * (rise.flip(0) if after else torch.ones(length))
