"""Scaled RoPE as a patch on a MODEL: the size is taken from every call's latent, the time from its sigma."""

import math
from dataclasses import dataclass

from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....nextdit.layers.rope import BASE, RopeScaling, axis_exponents, exponents, scale_factor
from ...drawing.wavelengths import Layout, draw_wavelengths
from ..models.image import OwnNetwork
from ..models.train_size import latent_tokens, resolve_train_tokens
from .patchable import network_of, replace_wrapper, token_grid

KEY = "lumina_next_scaled_rope"


@dataclass(frozen=True)
class Settings:
    """What the node is set to, before the size is known."""

    method: str
    train_tokens: int
    per_axis: bool = False
    watershed: float = 0.3
    proportional: bool = False
    return_from: float = RopeScaling.return_from
    return_to: float = RopeScaling.return_to

    def at(self, grid: tuple[int, int]) -> RopeScaling | None:
        """Return the scaling for a grid of (rows, columns) tokens, None up to the training size."""
        factor = scale_factor(grid, self.train_tokens, self.per_axis)
        if factor == 1.0 or factor == (1.0, 1.0):
            return None
        # with fewer tokens than in training (a factor per axis can have that) it would blur attention, not sharpen it
        proportional = self.proportional and math.prod(grid) > self.train_tokens**2
        return self.scaling(factor, proportional)

    def scaling(self, factor: float | tuple[float, ...], proportional: bool = False) -> RopeScaling:
        """Return the scaling of a factor."""
        times = {"watershed": self.watershed, "return_from": self.return_from, "return_to": self.return_to}
        return RopeScaling(self.method, factor, self.train_tokens, proportional=proportional, **times)


def scale_rope(model, method: str, train_size: int = 0, **options):
    """Return a clone of a MODEL whose RoPE is scaled past its training size, and the Settings.

    `train_size` in pixels, 0 for the model's own; `options` are the rest of Settings. A second patch replaces the
    first. Raises ValueError for models that cannot be hooked, unknown training sizes and values out of range.
    """
    network = network_of(model, "Scaled RoPE")
    settings = Settings(method, resolve_train_tokens(model, network, train_size), **options)
    settings.scaling(1.0)  # refuses bad values now, not while sampling
    patched = model.clone()
    if isinstance(network, OwnNetwork):
        replace_wrapper(patched, WrappersMP.APPLY_MODEL, KEY, _argument(settings, network.patch_size))
    else:
        from ..host.core_rope import patch_core

        patch_core(patched, network, settings, KEY)
    return patched, settings


def draw_readout(model, settings: Settings, latent: dict | None = None) -> Tensor:
    """Return the picture of the frequencies for a LATENT, or for twice the training size without one, as an IMAGE."""
    twice = 2 * settings.train_tokens
    network = network_of(model, "Scaled RoPE")
    tokens, note = (twice, twice), "without a latent"
    if latent is not None:
        tokens, note = latent_tokens(model, network, latent), "this latent"
    rope = settings.at(tokens) or settings.scaling(1.0)
    return draw_wavelengths(rope, _layout(model, network), tokens, note)


def _layout(model, network) -> Layout:
    if isinstance(network, OwnNetwork):
        return Layout(exponents(network.config.head_dim), network.config.head_dim, BASE)
    from ..host.core_rope import plain_embedder

    embedder = plain_embedder(model)
    return Layout(axis_exponents(embedder.axes_dim[1]), sum(embedder.axes_dim), float(embedder.theta))


def _argument(settings: Settings, patch_size: int):
    def hand_over(executor, x, t, *args, **kwargs):
        rope = settings.at(token_grid(x, patch_size))
        return executor(x, t, *args, **(kwargs if rope is None else kwargs | {"rope": rope}))

    return hand_over
