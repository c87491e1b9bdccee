"""How unlike two sets of sounds are: Fréchet distance in features (Kilgour et al. 2019, equation 1)."""

import torch
from torch import Tensor


def main_axes(features: Tensor, count: int = 24) -> Tensor:
    """Return the `count` directions (D, count) along which features (N, D) differ most.

    A covariance of all features would need more samples than there are.
    """
    _, _, directions = torch.linalg.svd(features - features.mean(0), full_matrices=False)
    return directions[:count].T


def frechet(a: Tensor, b: Tensor) -> float:
    """Return |μ − μ′|² + tr(Σ + Σ′ − 2 (Σ Σ′)^½) of features (N, D) and (M, D)."""
    a, b = a.double(), b.double()
    first, second = torch.cov(a.T), torch.cov(b.T)
    # the eigenvalues of the product are those of a symmetric matrix, hence real and not negative
    values, vectors = torch.linalg.eigh(first)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    return float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * mixed)
