"""Weights and inputs that any program can make anew: each number is a function of its tensor's name and its place."""

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor


def numbers(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return numbers spread evenly over (−√3, √3), mean 0 and deviation 1, that only depend on name and shape."""
    place = torch.arange(torch.Size(shape).numel(), dtype=torch.float64) + zlib.crc32(name.encode()) % 65536
    return ((torch.sin(place * 12.9898) * 43758.5453).frac().abs() * 2 - 1).mul(3**0.5).reshape(shape).float()


def weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor of a checkpoint, gates and modulations included, so that nothing is switched off."""
    return numbers(key, shape) * (shape[-1] ** -0.5 if len(shape) == 2 else 0.3) + (0.5 if len(shape) == 1 else 0.0)


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors."""
    return {key: weight(key, shape) for key, shape in shapes.items()}
