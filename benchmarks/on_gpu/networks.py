"""The networks on the device: weights are drawn there, which on a CPU takes 13 s each."""

import traceback
from collections.abc import Callable
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ...nextdit import NextDiT, NextDiTConfig
from ...nextdit.config import PRESETS
from ..shared.flops import step_flops
from ..step.models import Inputs, make_inputs, our_network, random_weights, their_call, their_network, their_rotary
from .timing import span

Grid = tuple[int, int]
SMALL = NextDiTConfig(dim=96, n_layers=2, n_heads=4, n_kv_heads=2, text_dim=40)
GRIDS = {"1024²": (64, 64), "2048²": (128, 128), "512²": (32, 32), "512×2048": (128, 32)}
SMALL_GRIDS = {"1024²": (8, 8), "2048²": (12, 12), "512²": (4, 4), "512×2048": (8, 2)}
DTYPE = torch.bfloat16
TEXT = 128


class Networks:
    """The 2B shape, or a tiny one, ours and diffusers' where that can be imported, on the same weights."""

    def __init__(self, device: torch.device, rehearse: bool, compare: bool = True):
        self.device, self.rehearse, self.compare = device, rehearse, compare
        self.config = SMALL if rehearse else PRESETS["2B"]
        self.grids = SMALL_GRIDS if rehearse else GRIDS

    @cached_property
    def theirs(self) -> nn.Module | None:
        """Diffusers' network; None where diffusers is not installed, or lacks what it needs itself."""
        if not self.compare or not find_spec("diffusers"):
            return None
        try:
            return their_network(self.config, DTYPE, self.device)
        except Exception:  # ours is measured in any case
            traceback.print_exc()
            return None

    @cached_property
    def ours(self) -> NextDiT:
        if self.theirs is not None:
            return our_network(self.theirs, self.config)
        return random_network(self.config, self.device)

    @cached_property
    def rotary(self) -> Tensor:
        """Diffusers' table of 384² positions, made once: its pipeline makes it in every step."""
        return their_rotary(self.config.head_dim, self.device)

    def inputs(self, grid: Grid, lengths: tuple[int, ...] = (TEXT, TEXT)) -> Inputs:
        """Return those of a guidance pair."""
        return make_inputs(self.config, grid, list(lengths), DTYPE, self.device)

    def call(self, inputs: Inputs, model: nn.Module | None = None, **options: Any) -> Callable[[], Tensor]:
        return partial(model or self.ours, inputs.x, inputs.t, inputs.text, inputs.mask, **options)

    def their_call(self, inputs: Inputs, model: nn.Module | None = None) -> Callable[[], Tensor]:
        return partial(their_call, model or self.theirs, inputs, self.rotary)

    def flops(self, grid: Grid, dropped_layers: int = 0) -> int:
        return step_flops(self.config, grid, TEXT, 2, dropped_layers)

    @cached_property
    def rate(self) -> float:
        """Operations a second of the network's largest product on random numbers, the best of five."""
        c, rows = self.config, 64 if self.rehearse else 32768
        x = torch.randn(rows, c.dim, device=self.device).to(DTYPE)
        product = partial(self.ours.layers[0].feed_forward.w1, x)
        for _ in range(1 if self.rehearse else 20):
            product()
        seconds = min(span(product, self.device, 1 if self.rehearse else 10) for _ in range(5))
        return 2.0 * rows * c.dim * c.ffn_dim / seconds

    def utilisation(self, grid: Grid, seconds: float) -> dict[str, float]:
        rate = self.flops(grid) / seconds
        return {"TFLOP/s": rate / 1e12, "of the matmul rate, %": 100 * rate / self.rate}


def random_network(config: NextDiTConfig, device: torch.device, dtype: torch.dtype = DTYPE) -> NextDiT:
    """Return our network with random weights, drawn on the device."""
    with torch.device("meta"):
        model = NextDiT(config, dtype=dtype)
    model.to_empty(device=device)
    random_weights(model)
    return model.eval()
