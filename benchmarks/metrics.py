"""Picture measures without weights: PSNR, gradient similarity, repetition; and intervals of confidence."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)


def psnr(samples: Tensor, true: Tensor) -> Tensor:
    """Return the PSNR in dB (B,) of samples (B, 3, H, W) in [-1, 1], clipped as they would be shown."""
    error = (samples.clamp(-1, 1) - true).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))


def luma(x: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) in [0, 1] of RGB in [-1, 1]."""
    weights = torch.tensor(LUMA, dtype=x.dtype).view(1, 3, 1, 1)
    return ((x.clamp(-1, 1) + 1) / 2 * weights).sum(1, keepdim=True)


def gradient(y: Tensor) -> Tensor:
    """Return the Prewitt gradient magnitude of (B, 1, H, W)."""
    kernel = torch.tensor([[1.0, 0.0, -1.0]] * 3) / 3
    kernels = torch.stack([kernel, kernel.T]).unsqueeze(1)
    return F.conv2d(F.pad(y, (1, 1, 1, 1), mode="replicate"), kernels).square().sum(1, keepdim=True).sqrt()


def perceptual(samples: Tensor, true: Tensor, scales: int = 3) -> Tensor:
    """Return the gradient magnitude similarity deviation (B,), mean over dyadic scales; 0 is equal.

    GMSD (Xue et al. 2014, arXiv 1308.3052), the constant c = 170/255². It compares edges, so that blur and wrong
    outlines count, and shifts of colour hardly do.
    """
    a, b, values = luma(samples), luma(true), []
    for _ in range(scales):
        g, h = gradient(a), gradient(b)
        c = 170 / 255**2
        values.append(((2 * g * h + c) / (g.square() + h.square() + c)).flatten(1).std(1))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return torch.stack(values).mean(0)


def sharpness(samples: Tensor) -> Tensor:
    """Return the root mean square difference of neighbouring luma pixels (B,): how hard the edges are."""
    y = luma(samples)
    across, down = (y.diff(dim=axis).square().flatten(1).mean(1) for axis in (-1, -2))
    return (across + down).sqrt()


def repetition(samples: Tensor) -> Tensor:
    """Return how like itself a picture is when shifted by half its side (B,): 1 when it repeats, about 0 when not.

    The largest correlation of luma with itself at the shifts (½, 0), (0, ½) and (½, ½), over the overlap.
    """
    y = luma(samples)
    h, w = y.shape[-2] // 2, y.shape[-1] // 2
    pairs = (
        (y[..., :h, :], y[..., -h:, :]),
        (y[..., :w], y[..., -w:]),
        (y[..., :h, :w], y[..., -h:, -w:]),
    )
    return torch.stack([correlation(a, b) for a, b in pairs]).amax(0)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of each row's pixels (B,)."""
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-8)


def rate(hits: Tensor) -> dict[str, float]:
    """Return a share in percent with Wilson's 95 % interval, of booleans (N,)."""
    n, p, z = len(hits), hits.float().mean().item(), 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"value": 100 * p, "low": 100 * max(0.0, centre - half), "high": 100 * min(1.0, centre + half), "n": n}


def mean(values: Tensor) -> dict[str, float]:
    """Return a mean with its 95 % interval (normal), of numbers (N,)."""
    half = 1.96 * values.float().std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
    centre = values.float().mean().item()
    return {"value": centre, "low": centre - half, "high": centre + half, "n": len(values)}
