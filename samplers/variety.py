"""A start whose seeds differ more, for distilled models, whose seeds look alike."""

from torch import Tensor


def colours_of(noise: Tensor) -> Tensor:
    """Return a number in [-1, 1] for each channel of noise (B, C, …), normal but for its clipped ends, as (B, C, 1, …).

    It is the channel's own mean at the spread that its count of cells gives it: the same noise has the same numbers.
    """
    number = noise.float().flatten(2).mean(2) * noise[0, 0].numel() ** 0.5
    return number.clamp(-1, 1).to(noise).view(*noise.shape[:2], *[1] * (noise.ndim - 2))


def begin_on_colours(noise: Tensor, begin: float) -> Tensor:
    """Return what stands at t = `begin` if the picture were one even colour, a different one for each noise."""
    return begin * colours_of(noise) + (1 - begin) * noise
