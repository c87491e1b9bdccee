"""Flow matching: noise and data on a straight line, the network learns the velocity between them."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nextdit.trunk import Stack

CENTRE = -0.4  # of training times on the logit scale: a little more noise than picture


def initialise(model: Stack) -> Any:
    """Return a network made ready for training: Xavier matrices; gates, modulations, output zero (reference code)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if "adaLN_modulation" in name or name in ("final_layer.linear", "cap_embedder.1"):
                nn.init.zeros_(module.weight)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    for layer in (model.t_embedder.mlp[0], model.t_embedder.mlp[2]):
        nn.init.normal_(layer.weight, std=0.02)
    return model


def draw_times(count: int, generator: torch.Generator, centre: float = CENTRE, uniform: float = 0.25) -> Tensor:
    """Draw training times (count,): the sigmoid of a normal number about `centre`, a part of them uniform instead."""
    device = generator.device
    normal = (torch.randn(count, generator=generator, device=device) + centre).sigmoid()
    even = torch.rand(count, generator=generator, device=device)
    return torch.where(torch.rand(count, generator=generator, device=device) < uniform, even, normal)


def flow_loss(
    velocity: Callable[[Tensor, Tensor], Tensor],
    data: Tensor,
    generator: torch.Generator,
    centre: float = CENTRE,
    given: Tensor | None = None,
    pair: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the mean squared error of `velocity(x, t)` against data − noise at drawn times.

    data (B, …), a time for each of the B, drawn about `centre` (see `draw_times`). Where `given`, which has data's
    shape or expands to it, is true, x is the data, and no error counts. `pair` returns noise, in an order that suits
    the data.
    """
    noise = torch.randn(data.shape, generator=generator, device=generator.device).to(data)
    noise = noise if pair is None else pair(noise, data)
    t = draw_times(len(data), generator, centre).to(data)
    x = torch.lerp(noise, data, t.view(-1, *[1] * (data.ndim - 1)))
    if given is None:
        return F.mse_loss(velocity(x, t).float(), data - noise)
    given = given.expand_as(data)
    error = (velocity(torch.where(given, data, x), t).float() - (data - noise)).masked_fill(given, 0.0)
    return error.square().sum() / (~given).sum()
