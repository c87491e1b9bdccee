"""Classifier-free guidance."""

import torch
from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: float, channels: int | None = None) -> Tensor:
    """Return unconditional + scale (conditional - unconditional), for all channels or for the first `channels` only.

    Both inputs are (B, C, ...), as is the result; channels that are not guided are the conditional ones.
    channels=None is classifier-free guidance as usually defined, channels=3 what the reference code does with its
    four latent channels. Works on velocities, noise predictions and x - denoised alike, being linear.
    Raises ValueError when the shapes differ or `channels` is not in 1 … C.
    """
    if conditional.shape != unconditional.shape:
        raise ValueError(
            "guidance needs conditional and unconditional predictions of one shape, "
            f"got {tuple(conditional.shape)} and {tuple(unconditional.shape)}"
        )
    if channels is None:
        return unconditional + scale * (conditional - unconditional)
    available = conditional.shape[1] if conditional.ndim > 1 else 0
    if not 1 <= channels <= available:
        raise ValueError(f"channels must be between 1 and {available}, the prediction's channels, got {channels}")
    guided = guide(conditional[:, :channels], unconditional[:, :channels], scale)
    return torch.cat([guided, conditional[:, channels:]], dim=1)
