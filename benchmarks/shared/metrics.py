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


def edge_distance(samples: Tensor, true: Tensor, cells: int = 16, bins: int = 8) -> Tensor:
    """Return how unlike the edges of two pictures are, cell by cell (B,), 0 equal to 1 nothing in common.

    Histograms of oriented gradients (Dalal & Triggs 2005) on cells × cells cells, votes of squared magnitude, without
    contrast normalisation: Σ|h − h'| / Σ(h + h'). Edges may be off by a few pixels, which GMSD counts twice, once
    where they are and once where they should be; blur spreads an edge's energy and counts, and so do edges too many.
    """
    a, b = (edge_histograms(picture, cells, bins) for picture in (samples, true))
    return (a - b).abs().flatten(1).sum(1) / (a + b).flatten(1).sum(1).clamp(min=1e-8)


def edge_histograms(samples: Tensor, cells: int, bins: int) -> Tensor:
    """Return each cell's gradient energy by orientation (B, bins, cells, cells)."""
    y = F.pad(luma(samples), (1, 1, 1, 1), mode="replicate")
    across = y[..., 1:-1, 2:] - y[..., 1:-1, :-2]
    down = y[..., 2:, 1:-1] - y[..., :-2, 1:-1]
    turn = torch.atan2(down, across) / math.pi * bins  # an edge and its opposite share a bin
    lower, share = turn.floor(), turn - turn.floor()
    energy = across.square() + down.square()
    votes = torch.zeros(len(y), bins, *energy.shape[-2:])
    for bin, weight in ((lower, 1 - share), (lower + 1, share)):
        votes.scatter_add_(1, bin.long() % bins, energy * weight)
    return F.adaptive_avg_pool2d(votes, cells)


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


def seam(samples: Tensor, true: Tensor, every: int, token: int) -> Tensor:
    """Return how much windows show that begin every so many pixels (B,): 0 is not at all.

    The luma difference of neighbours across the lines where windows begin, less that across the other borders of
    tokens of `token` pixels, both less the true picture's, in means of the true picture's.
    """
    total, scale = torch.zeros(len(samples)), torch.zeros(len(samples))
    for axis in (-1, -2):
        steps, wanted = (
            luma(x).diff(dim=axis).abs().transpose(axis, -1).flatten(1, -2).mean(1) for x in (samples, true)
        )
        places = torch.arange(1, samples.shape[axis])
        lines, others = places % every == 0, (places % token == 0) & (places % every != 0)
        above = steps - wanted
        total += above[:, lines].mean(1) - above[:, others].mean(1)
        scale += wanted[:, places % token == 0].mean(1)
    return total / scale.clamp(min=1e-4)


def objects(samples: Tensor, ink: float = 0.25) -> tuple[Tensor, Tensor]:
    """Return how many objects stand side by side on white (B,), and the square around what is drawn (B, 3, H, H).

    Columns count as drawn on where any pixel's luma is `ink` or more below white; runs of them with gaps up to H / 8
    are one object if they are wider than H / 4. The square is centred on the drawn columns' mean.
    """
    height, width = samples.shape[-2:]
    drawn = (luma(samples) < 1 - ink).float().amax(-2).squeeze(1)  # (B, W)
    reach = height // 16
    closed = F.max_pool1d(drawn.unsqueeze(1), 2 * reach + 1, 1, reach)[:, 0]
    counts, squares = [], []
    for columns, line, picture in zip(drawn, closed, samples, strict=True):
        edges = F.pad(line, (1, 1)).diff()
        runs = (edges == -1).nonzero().flatten() - (edges == 1).nonzero().flatten()
        counts.append(int((runs - 2 * reach > height / 4).sum()))
        centre = columns.nonzero().float().mean().nan_to_num(width / 2)
        left = min(max(round(centre.item() - height / 2), 0), width - height)
        squares.append(picture[..., left : left + height])
    return torch.tensor(counts), torch.stack(squares)


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
