"""The methods that stretch RoPE past the training size (paper section 2.3), as data, and a choice among them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...options import Method, Parameter, pick
from .rope import Axes
from .rope_choice import Choice, choose


@dataclass(frozen=True)
class Stretch:
    """What a method works on: an axis's exponents e (n,) float64, ln of base and factor, the whole head's width.

    `trained` is the number of positions along the axis in training.
    """

    e: Tensor
    ln_base: float
    ln_factor: float
    head_dim: int
    trained: int

    @property
    def plain(self) -> Tensor:
        return -self.e * self.ln_base

    @property
    def interpolated(self) -> Tensor:
        return self.plain - self.ln_factor


@dataclass(frozen=True)
class RopeMethod(Method):
    """A way to stretch: float32 frequencies (n,) or (B, n) on t's device, for times t () or (B,) if `by_time`."""

    theta: Callable[["RopeScaling", Stretch, Tensor], Tensor] = lambda scaling, s, t: _exp(s.plain, t)
    by_time: bool = False


def _exp(log_theta: Tensor, t: Tensor) -> Tensor:
    return log_theta.exp().to(t.device, torch.float32).expand(*t.shape, -1)


def _interpolation(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    return _exp(s.interpolated, t)


def _ntk_aware(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    return _exp(-s.e * (s.ln_base + s.ln_factor / s.e[-1]), t)


def _frequency_aware(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    training_wave = math.log(s.trained / (2 * math.pi)) / s.ln_base
    return _exp(torch.maximum(-s.e * (s.ln_base + s.ln_factor / training_wave), s.interpolated), t)


def _time_aware(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    x = (((s.head_dim - 1) * t + 1) / s.head_dim).unsqueeze(-1)
    e = s.e.float().to(t.device)  # logarithms: base·s^(1/x) overflows float32 near t = 0
    return torch.maximum(-e * (s.ln_base + s.ln_factor / x), s.interpolated.float().to(t.device)).exp()


def _watershed(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    early = (t < scaling.watershed).unsqueeze(-1)
    return torch.where(early, _exp(s.interpolated, t), _exp(-s.e * (s.ln_base + s.ln_factor), t))


def _late(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    returned = scaling.returned(t).unsqueeze(-1)
    e = s.e.float().to(t.device)
    return (-e * s.ln_base - s.ln_factor * (1 - returned * (1 - e / e[-1]))).exp()


def _yarn(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    turns = s.trained / (2 * math.pi) * s.plain.exp()  # of a frequency across the training image
    kept = ((turns - 1) / (32 - 1)).clamp(0.0, 1.0)  # the paper's α and β
    return _exp((kept * s.plain.exp() + (1 - kept) * s.interpolated.exp()).log(), t)


def _auto(scaling: "RopeScaling", s: Stretch, t: Tensor) -> Tensor:
    return METHODS[choose(None, s.trained).method].theta(scaling, s, t)


def _time(name: str, default: float, tooltip: str) -> Parameter:
    return Parameter(name, default, 0.0, 1.0, 0.01, tooltip, below=1.0, closed=True)


WATERSHED = _time(
    "watershed", 0.3, "Time at which it switches: 0 is pure noise, 1 the finished image. The released demos use 0.3."
)
RETURN_FROM = _time(
    "return_from",
    0.8,
    "Time at which frequencies begin to return: 0 is pure noise, 1 the finished image. At 1 they never do: "
    "interpolation. Later if objects repeat, earlier if edges are hatched.",
)
RETURN_TO = _time("return_to", 0.9, "Time at which all have returned. Not before return_from.")

METHODS: dict[str, RopeMethod] = {
    method.name: method
    for method in (
        RopeMethod("extrapolation", "frequencies as they are (repeats the object past the training size)"),
        RopeMethod("interpolation", "all positions squeezed into the training range", theta=_interpolation),
        RopeMethod("ntk_aware", "a larger base: high frequencies kept, the lowest interpolated", theta=_ntk_aware),
        RopeMethod(
            "frequency_aware",
            "frequencies longer than the training image interpolated, the rest changed little",
            theta=_frequency_aware,
        ),
        RopeMethod(
            "time_aware",
            "the paper's continuous form: interpolation in noise, frequencies returning as the image forms",
            theta=_time_aware,
            by_time=True,
        ),
        RopeMethod(
            "time_aware_watershed",
            "the released code's form: interpolation before the watershed, a larger base after it",
            (WATERSHED,),
            theta=_watershed,
            by_time=True,
        ),
        RopeMethod(
            "time_aware_late",
            "this pack's form: interpolation of all frequencies until the layout stands, then ntk_aware",
            (RETURN_FROM, RETURN_TO),
            theta=_late,
            by_time=True,
        ),
        RopeMethod(
            "yarn",
            "as language models do: waves that fit often into the training image kept, long ones interpolated",
            theta=_yarn,
        ),
        RopeMethod("auto", "one of the others, by the model", theta=_auto, by_time=True),
    )
}
DEFAULT = "auto"
TIME_AWARE_LATE = "time_aware_late"


def scale_factor(grid: Sequence[int], train_tokens: int, per_axis: bool = False) -> float | tuple[float, ...]:
    """Return how many times longer than in training a grid of (rows, columns) tokens is.

    One number for both axes, √(rows·columns) / train_tokens (reference code), or one an axis (the paper's argument for
    decoupled axes; our definition). Below 1 counts as 1.
    """
    if per_axis:
        return tuple(max(1.0, n / train_tokens) for n in grid)
    return max(1.0, math.sqrt(math.prod(grid)) / train_tokens)


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE frequencies change when an image has more tokens per side than in training.

    `factor` is how many times longer than in training, one number for both axes or one per axis (row, column);
    below 1 it counts as 1. `train_tokens` is the tokens per side in training (1024 px → 64), for audio along time.
    `watershed` is the time below which `time_aware_watershed` interpolates, `time_aware_late` returns between
    `return_from` and `return_to`. `proportional` turns on proportional attention.
    Methods: paper section 2.3; `time_aware_watershed` and proportional attention: reference code; `yarn`: arXiv
    2309.00071, NTK-by-parts with its constants; `time_aware_late`: our definition; `auto`: rope_choice.py. `frames` is
    how many times as many frames as the `train_frames` of training a clip has, which stretches its first axis by the
    same method. Raises ValueError on an unknown method or values out of range.
    """

    method: str = TIME_AWARE_LATE
    factor: float | tuple[float, ...] = 1.0
    train_tokens: int = 64
    watershed: float = WATERSHED.default
    proportional: bool = False
    return_from: float = RETURN_FROM.default
    return_to: float = RETURN_TO.default
    frames: float = 1.0
    train_frames: int = 8

    def __post_init__(self):
        pick("RoPE method", self.method, METHODS)
        for factor in (*(self.factor if isinstance(self.factor, tuple) else (self.factor,)), self.frames):
            if not (math.isfinite(factor) and factor > 0):
                raise ValueError(f"RoPE factor must be a positive finite number, got {self.factor!r}")
        if self.train_tokens < 7:
            raise ValueError(f"train_tokens must be at least 7 (above 2π), got {self.train_tokens}")
        if self.frames > 1 and self.train_frames < 7:
            raise ValueError(f"train_frames must be at least 7 (above 2π), got {self.train_frames}")
        for parameter in (WATERSHED, RETURN_FROM, RETURN_TO):
            parameter.check(getattr(self, parameter.name))
        if self.return_from > self.return_to:
            raise ValueError(
                "time_aware_late needs return_from <= return_to, "
                f"got return_from {self.return_from} and return_to {self.return_to}"
            )

    def frequencies(self, head_dim: int, t: float | Tensor = 0.0, axes: int = 2, axis: int = 0) -> Tensor:
        """Return one axis's angular frequencies at time t, float32, shape (n,) or (B, n) for t of shape (B,).

        n is head_dim / (2·axes); t runs from 0 (noise) to 1 (data); `axis` matters only with a factor per axis.
        Computed on t's device.
        """
        shared = Axes.shared(head_dim, axes)
        factors, trained = self.stretched(shared)
        return self._theta(shared, 0, factors[axis], trained, torch.as_tensor(t, dtype=torch.float32))

    def thetas(self, axes: Axes, t: Tensor, still: int = 0) -> list[Tensor]:
        """Return the frequencies of every axis at times t (B,), (n,) or (B, n) each, float32 on t's device.

        The first `still` axes (frames, text) are stretched by `frames` alone, rows and columns after them by `factor`,
        and others (text) not. Raises ValueError on a factor per axis where all tokens stand in one line.
        """
        times = t if METHODS[self.method].by_time else t.new_zeros(())  # one table does for a batch
        factors, trained = self.stretched(axes)
        made, plain = [], t.new_zeros(())
        for i in range(len(axes.widths)):
            if i < still and self.frames > 1.0:
                made.append(self._theta(axes, i, self.frames, self.train_frames, times))
            elif still <= i < still + 2:
                made.append(self._theta(axes, i, factors[i - still], trained, times))
            else:
                made.append(self._theta(axes, i, 1.0, trained, plain))
        return made

    def _theta(self, axes: Axes, axis: int, s: float, trained: int, t: Tensor) -> Tensor:
        stretch = Stretch(axes.exponents(axis, t.device), math.log(axes.base), math.log(s), axes.head_dim, trained)
        method = METHODS[self.method] if s > 1.0 else METHODS["extrapolation"]
        return method.theta(self, stretch, t)

    def stretched(self, axes: Axes) -> tuple[tuple[float, ...], int]:
        """Return how many times longer rows and columns, or the one line, are, and how long they were in training."""
        if not axes.in_line:
            factors = self.factor if isinstance(self.factor, tuple) else (self.factor, self.factor)
            return tuple(max(1.0, factor) for factor in factors), self.train_tokens
        if isinstance(self.factor, tuple):
            raise ValueError(
                "this model's positions count its tokens in one line, which has no factor per axis: give one number"
            )
        factor = max(1.0, self.factor)
        return (factor if axes.of_time else factor**2,), axes.trained(self.train_tokens)

    def returned(self, t: Tensor) -> Tensor:
        """Return how far `time_aware_late` has gone from interpolation (0) to NTK-aware (1) at times t, of t's shape.

        A smooth step from `return_from` to `return_to`. Frequencies are θ / s^w with w = 1 − returned·(1 − e/e_max);
        `return_from` = 1 is interpolation, `return_to` = 0 NTK-aware throughout (our definition).
        """
        if self.return_from == 1.0:
            return torch.zeros_like(t)
        passed = ((t - self.return_from) / max(self.return_to - self.return_from, 1e-6)).clamp(0.0, 1.0)
        return torch.where(t >= self.return_to, 1.0, passed.square() * (3 - 2 * passed))

    def resolved(self, family: str | None) -> tuple["RopeScaling", Choice | None]:
        """Return the scaling with the method that `auto` is for a family (rope_choice.py), and the choice if it was."""
        if self.method != DEFAULT:
            return self, None
        choice = choose(family, self.train_tokens)
        watershed = self.watershed if choice.watershed is None else choice.watershed
        proportional = self.proportional or choice.proportional
        return replace(self, method=choice.method, watershed=watershed, proportional=proportional), choice

    def logit_scale(self, tokens: int, axes: Axes | None = None) -> float:
        """Return what self-attention's logits are multiplied with if `proportional`, else 1.

        √(log N / log N_train) (reference code), or, for `yarn`, (0.1 ln s + 1)² (its paper). Where rows of patches have
        ends, N_train counts them twice (reference code); without `axes` they have none.
        """
        if not self.proportional:
            return 1.0
        if self.method == "yarn":
            s = max(self.factor) if isinstance(self.factor, tuple) else self.factor
            return (0.1 * math.log(max(s, 1.0)) + 1) ** 2
        ends = 0 if axes is None else axes.ends
        trained = self.train_tokens**2 + 2 * ends * self.train_tokens
        if axes is not None and axes.of_time:
            trained = self.train_tokens
        return math.sqrt(math.log(max(2, tokens)) / math.log(trained))


PLAIN = RopeScaling("extrapolation")
