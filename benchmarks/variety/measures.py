"""How much pictures of one prompt differ over seeds, and whether they show what the prompt asks for."""

import math

import torch
from torch import Tensor

from ..shared.metrics import mean, rate
from .cards import Cards


def choices(found: Tensor) -> float:
    """Return how many values equally frequent would be as varied as these (N,): the exponential of their entropy."""
    if not len(found):
        return 0.0
    shares = torch.unique(found, return_counts=True)[1].double() / len(found)
    return math.exp(float(-(shares * shares.log()).sum()))


def distance(samples: Tensor) -> float:
    """Return the root mean square difference of two of the pictures (N, …) in [-1, 1], a mean over all pairs."""
    flat = samples.clamp(-1, 1).flatten(1).float()
    return float(torch.pdist(flat).mean()) / flat.shape[1] ** 0.5


def measures(cards: Cards, samples: Tensor, prompts: list[int]) -> dict:
    """Return fidelity and variety of pictures (prompts, seeds, 3, H, W) of prompts by number, with 95 % intervals."""
    found, psnr = cards.nearest(samples.flatten(0, 1))
    concept, place, colour = (part.view(samples.shape[:2]).cpu() for part in cards.parts(found))
    members = [torch.tensor(list(cards.members[p])) for p in prompts]
    right = torch.cat([torch.isin(row, which) for row, which in zip(concept, members, strict=True)])
    names = [i for i, p in enumerate(prompts) if p < len(cards.names)]
    kinds = [i for i, p in enumerate(prompts) if p >= len(cards.names)]
    shown = [concept[i][torch.isin(concept[i], members[i])] for i in kinds]
    share = [choices(found) / len(members[i]) for found, i in zip(shown, kinds, strict=True)]
    return {
        "right, %": rate(right),
        "PSNR to the nearest, dB": mean(psnr.cpu()),
        "distance": mean(torch.tensor([distance(row) for row in samples])),
        "colours": mean(torch.tensor([choices(colour[i]) for i in names])),
        "places": mean(torch.tensor([choices(place[i]) for i in names])),
        "of a kind, %": mean(100 * torch.tensor(share)),
    }
