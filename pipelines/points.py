"""Point clouds of any number of points: from a label or a text, from a part of a cloud, or from a coarser one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..demo import POINTS_MODEL, POINTS_TEXT_MODEL
from ..nextdit.clouds.files import save_points
from ..nextdit.clouds.noise import GRAIN, grained, paired
from ..nextdit.clouds.picture import four_sides
from ..nextdit.clouds.shape import Frame, densified, spread, upright
from ..nextdit.layers.tokens import needed_mask
from ..nextdit.models.points import PointConfig, PointNextDiT
from ..options import OptionError, option
from ..samplers.solvers import OnStep
from .models import Models, memory_in_words
from .pictures import Picture, versions
from .sampling import Progress, Sampling, counted
from .text_to_image import check_seeds, check_texts

SPARE = 2
"""How many times as many points are made as are kept, where the cloud is to be even."""


FROM_TEXTS = Sampling(5, "uniform", solver="midpoint", cfg=2.0)
FROM_LABELS = replace(FROM_TEXTS, cfg=1.0)  # guidance moves away from real shapes, and labels do without


@dataclass(frozen=True)
class PointsRequest:
    """What is asked for: `count` points of a prompt or a label, for every seed.

    `cloud` (N, 3), z up, is one to start from: with `keep` its points stay and the others are made to fit, else all are
    made over, `denoise` being how much may change; `frame` is where it lay, and where the result will. `even` makes
    twice as many points and keeps those farthest apart; `proportional` attention and the `grain` of the noise (see
    `grained`) are for more points than in training.
    Raises ValueError on values out of range.
    """

    prompt: str | None = None
    label: str | int | None = None
    negative: str = ""
    count: int | None = None
    seeds: tuple[int, ...] = (0,)
    sampling: Sampling | None = None
    cloud: Tensor | None = None
    frame: Frame | None = None
    keep: bool = False
    denoise: float | None = None
    even: bool = False
    proportional: bool = True
    grain: float = GRAIN

    def __post_init__(self):
        check_seeds(self.seeds)
        check_texts(prompt=self.prompt or "", negative=self.negative)
        if (self.prompt is None) == (self.label is None):
            raise OptionError(f"give a {option('prompt')} or a {option('label')}, and not both")
        count, given = self.points, 0 if self.cloud is None else len(self.cloud)
        if not isinstance(count, int) or count < 1:
            raise OptionError(f"{option('count')} must be a whole number of points, at least 1, got {count!r}")
        if self.how.channels is not None:
            raise OptionError(f"{option('channels')} must be left out: points are guided on all channels")
        if self.cloud is None and (self.keep or self.denoise is not None):
            raise OptionError(f"{option('keep')} and {option('denoise')} need a {option('cloud')} to start from")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise OptionError(f"{option('denoise')} must be above 0 and at most 1, got {self.denoise}")
        if not 0 <= self.grain <= 1:
            raise OptionError(f"{option('grain')} must be from 0 to 1, got {self.grain}")
        if self.cloud is not None and (self.cloud.ndim != 2 or self.cloud.shape[1] != 3 or given < 2):
            raise OptionError(f"{option('cloud')} must be two or more points, (N, 3), got {tuple(self.cloud.shape)}")
        if self.cloud is not None and count < given + self.keep:
            raise OptionError(
                f"{option('count')} is {count}, but the {option('cloud')} has {given} points already: ask for more"
            )

    @property
    def how(self) -> Sampling:
        """How the flow is followed, by default as suits labels or texts."""
        return self.sampling or (FROM_LABELS if self.prompt is None else FROM_TEXTS)

    @property
    def points(self) -> int:
        """How many points the result has."""
        return self.count if self.count is not None else 2048 if self.cloud is None else len(self.cloud) + self.keep


@dataclass(frozen=True)
class PointCloud:
    """Points (N, 3), float32, z up and x to the front, in about [-1, 1]; and what made them."""

    points: Tensor
    parameters: Mapping[str, Any]
    frame: Frame | None = None

    def save(self, path: str | Path, up: str = "y") -> None:
        """Write a .ply, .xyz or .npy file, with y or z up, or where a given cloud lay.

        The file appears under its name only when whole.
        """
        save_points(upright(self.points, up) if self.frame is None else self.frame.restored(self.points), path)

    def picture(self, size: int = 256) -> Image.Image:
        """Return a picture from four sides, which knows what made the cloud."""
        pixels = four_sides(self.points, size).permute(2, 0, 1).float() / 127.5 - 1
        return Picture.of(pixels, self.parameters)


def points(request: PointsRequest, models: Models | None = None, progress: Progress | None = None) -> list[PointCloud]:
    """Return the clouds of a request's seeds, by default of the demo's models; they know what made them.

    Raises ValueError if the models do not fit the request, where memory does not do, if the result is not finite, and
    what loading raises.
    """
    models = models or Models(POINTS_MODEL if request.prompt is None else POINTS_TEXT_MODEL)
    models.check("points")
    count = len(request.seeds)
    made = request.points * (SPARE if request.even else 1)
    rows = count * (2 if request.how.guided else 1)
    check_memory(models, made, rows)
    with memory_in_words(models.device, f"{count} clouds of {made} points", "seeds", count):
        clouds = draw(request, models, made, progress)
    told = {
        "prompt": request.prompt,
        "label": request.label,
        "negative": request.negative,
        "model": models.model.name,
        "count": request.points,
        "steps": request.how.steps,
        "schedule": request.how.schedule_text,
        "method": request.how.solver,
        "cfg": request.how.cfg,
        "given": None if request.cloud is None else len(request.cloud),
        "keep": request.keep,
        "denoise": request.denoise,
        "even": request.even,
        "proportional": request.proportional,
        "grain": request.grain,
        "versions": versions(),
    }
    return [PointCloud(x, {**told, "seed": seed}, request.frame) for x, seed in zip(clouds, request.seeds, strict=True)]


def bytes_needed(config: PointConfig, points: int, rows: int) -> int:
    """Return about how much memory `rows` clouds of so many points take in a layer, in float32."""
    return 4 * rows * points * (10 * config.dim + 2 * config.ffn_dim)


def free_memory(device: torch.device) -> int | None:
    """Return how many bytes a device has free, None where that cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:  # not on Linux
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def check_memory(models: Models, points: int, rows: int) -> None:
    """Raise ValueError, before any work, for clouds that cannot fit: systems promise memory, and kill what uses it."""
    needed, free = bytes_needed(models.config, points, rows), free_memory(models.device)
    if free is not None and needed > free:
        raise OptionError(
            f"{rows} × {points} points at once need about {needed / 1e9:.0f} GB, and {models.device} has "
            f"{free / 1e9:.0f} GB free: make fewer points ({option('count')}), or try {option('cfg')} 1"
        )


@torch.inference_mode()
def draw(request: PointsRequest, models: Models, count: int, progress: Progress | None = None) -> list[Tensor]:
    """Return the clouds (N, 3) of a request, of which `count` points each are made."""
    network: PointNextDiT = models.network("points")
    (text, mask), none = conditions(request, models, network.config)
    generators = [torch.Generator().manual_seed(seed) for seed in request.seeds]
    x = torch.stack([torch.randn(3, count, generator=generator) for generator in generators])
    sampling, begin, kept = request.how, 0.0, None
    if request.cloud is None:
        x = grained(x, network.config.train_points, request.grain)
    else:
        start = torch.stack([densified(request.cloud.float(), count, g).T for g in generators])
        kept = start[:, :, : len(request.cloud)] if request.keep else None
        begin = 1 - (request.denoise or (1.0 if request.keep else 0.6))
        sampling = sampling.shortened(begin)
        x = paired(x, start) if network.config.paired else x
        x = torch.lerp(x, start, begin) if begin else x
    out = sample_points(
        network,
        x,
        text.expand(len(x), -1, -1),
        mask,
        sampling,
        none=none,
        begin=begin,
        kept=kept,
        proportional=request.proportional,
        on_step=counted(progress, sampling.steps),
    )
    if not out.isfinite().all():
        raise OptionError(f"the cloud has NaN or infinite values; try {option('dtype')} fp32")
    clouds = [cloud.T.contiguous() for cloud in out.float().cpu()]
    return [cloud[spread(cloud, request.points)] for cloud in clouds] if request.even else clouds


def conditions(
    request: PointsRequest, models: Models, config: PointConfig
) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
    """Return what the network is told, and what to steer away from: features (1, L, D) and mask each."""
    if request.label is None:
        if config.labels:
            config.check_text(0)
        (text, mask), (none, none_mask) = (
            models.encoder()([each]) for each in (request.prompt or "", request.negative)
        )
        return (text, needed_mask(mask)), (none, needed_mask(none_mask))
    none = torch.zeros(1, 1, len(config.labels) or 1, device=models.device)
    chosen = none.clone()
    chosen[..., config.label(request.label)] = 1
    return (chosen, None), (none, None)


@torch.inference_mode()
def sample_points(
    model: PointNextDiT,
    x: Tensor,
    text: Tensor,
    mask: Tensor | None,
    sampling: Sampling,
    *,
    none: tuple[Tensor, Tensor | None] | None = None,
    begin: float = 0.0,
    kept: Tensor | None = None,
    proportional: bool = False,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow the flow from x (B, 3, N), noise or what stands at t = `begin`, to clouds (B, 3, N).

    text (B, L, D) and mask are as PointNextDiT takes them; `none` are those to steer away from, with guidance. The
    first points arrive at `kept` (B, 3, M): they go there on a straight line, as all did in training.
    """
    x = x.to(model.point_embedder.linear.weight.device)
    call = partial(model, proportional=proportional)
    goal = None if kept is None else (kept.to(x) - x[:, :, : kept.shape[2]]) / (1 - begin)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        each = t.float().to(x.device).expand(len(x))
        v = call(x, each, text.expand(len(x), -1, -1), mask)
        if sampling.guided and none is not None:
            v = sampling.guide(v, call(x, each, none[0].expand(len(x), -1, -1), none[1]))
        if goal is not None:
            v[:, :, : goal.shape[2]] = goal
        return v

    return sampling.follow(velocity, x, begin, on_step)
