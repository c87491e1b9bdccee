"""The networks of `step.py`, and how they are measured."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from ...nextdit import NextDiT, NextDiTConfig
from ..shared.flops import step_flops
from ..shared.timing import medians, product_rate
from .models import Inputs, make_inputs, our_network, their_call, their_network

Grid = tuple[int, int]


@dataclass
class Bench:
    """The networks, and how to measure them."""

    config: NextDiTConfig
    device: torch.device
    dtype: torch.dtype
    rounds: int
    grids: list[Grid]
    text: int = 64
    batch: int = 1
    compile: bool = False
    clock: str = "wall"
    budget: float = math.inf
    rate: float = 0.0

    @cached_property
    def theirs(self) -> nn.Module:
        return their_network(self.config, self.dtype, self.device)

    @cached_property
    def ours(self) -> NextDiT:
        return our_network(self.theirs, self.config)

    @cached_property
    def product(self) -> tuple[Callable[[], Tensor], float]:
        """The network's largest product on many tokens, in the layout that the network has, and its operations."""
        c, rows = self.config, 65536 if self.device.type == "cuda" else 2048
        x = torch.randn(rows, c.dim, device=self.device).to(self.dtype)
        return partial(self.ours.layers[0].feed_forward.w1, x), 2.0 * rows * c.dim * c.ffn_dim

    def calibrate(self) -> None:
        """Measure the rate of the largest product; the best that was ever seen counts as the device's."""
        self.rate = max(self.rate, product_rate(*self.product, self.device, self.clock))

    def inputs(self, grid: Grid, lengths: list[int] | None = None) -> Inputs:
        return make_inputs(self.config, grid, lengths or [self.text] * self.batch, self.dtype, self.device)

    def call(self, inputs: Inputs, model=None, **options) -> Callable[[], Tensor]:
        return partial(model or self.ours, inputs.x, inputs.t, inputs.text, inputs.mask, **options)

    def their_call(self, inputs: Inputs, model=None) -> Callable[[], Tensor]:
        return partial(their_call, model or self.theirs, inputs)

    def times(self, calls: dict[str, Callable[[], Tensor]]) -> dict[str, float]:
        return medians(calls, self.device, self.rounds, self.clock, self.budget)

    def utilisation(self, grid: Grid, seconds: float, lengths: list[int] | None = None) -> dict[str, Any]:
        lengths = lengths or [self.text] * self.batch
        flops = step_flops(self.config, grid, max(lengths), len(lengths))
        return {
            "TFLOP": flops / 1e12,
            "TFLOP/s": flops / seconds / 1e12,
            "of the matmul rate, %": 100 * flops / seconds / self.rate,
        }
