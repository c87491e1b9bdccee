"""Methods that are measured, but not in the pack."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ...nextdit import RopeScaling
from ...nextdit.layers.rope_scaling import METHODS, RopeMethod, Stretch

BELOW = 0.85  # of one wave over the enlarged picture


def dominant(scaling: RopeScaling, s: Stretch, t: Tensor) -> Tensor:
    """Return frequencies of which only one is lower: that whose wave is nearest to the training picture in length.

    It is to have less than one wave over the enlarged picture, so that nothing repeats: RIFLEx (arXiv 2502.15894),
    UltraImage (github.com/thu-ml/DiT-Extrapolation).
    """
    theta = s.plain.exp()
    whole = 2 * math.pi / s.trained
    nearest = (theta / whole).log().abs().argmin()
    theta[nearest] = theta[nearest].clamp(max=BELOW * whole / math.exp(s.ln_factor))
    return theta.to(t.device, t.dtype).expand(*t.shape, -1)


RIVALS = {"dominant": RopeMethod("dominant", "one wave per picture, the rest as it is", theta=dominant)}


@contextmanager
def rivals() -> Iterator[None]:
    """Let their names be those of methods."""
    METHODS.update(RIVALS)
    try:
        yield
    finally:
        for name in RIVALS:
            del METHODS[name]
