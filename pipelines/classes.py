"""Pictures of classes: a class in, by name or number, a picture out."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..demo import CLASS_MODEL
from ..nextdit import ContextDrop, RopeScaling
from ..nextdit.layers.rope_scaling import DEFAULT
from ..nextdit.models.class_image import ClassDiT
from ..options import OptionError, option
from ..samplers.solvers import OnStep
from .models import Models, memory_in_words
from .pictures import Picture, versions
from .sampling import Progress, Sampling, counted, guided_velocity, noise
from .text_to_image import check_seeds, check_sizes, drop_text, listed, loras_told, rope_text, scaled


@dataclass(frozen=True)
class ClassToImage:
    """What is asked for: pictures of classes, names or numbers that the model knows, one for every seed each.

    Sizes are in pixels, by default the square that the model was trained on; `train_size` is its side, by default what
    the model's file says. Above it RoPE is scaled as `rope` says. Raises ValueError on values out of range.
    """

    labels: tuple[str | int, ...]
    width: int | None = None
    height: int | None = None
    seeds: tuple[int, ...] = (0,)
    sampling: Sampling = Sampling(20, "uniform", cfg=2.0)
    rope: RopeScaling = RopeScaling(DEFAULT)
    drop: ContextDrop | None = None
    train_size: int | None = None

    def __post_init__(self):
        labels = (self.labels,) if isinstance(self.labels, str | int) else self.labels
        object.__setattr__(self, "labels", listed("labels", labels))
        object.__setattr__(self, "seeds", listed("seeds", self.seeds))
        if not self.labels:
            raise OptionError(f"{option('labels')} are none; give at least one class, a name or a number")
        for label in self.labels:
            if not isinstance(label, str | int) or isinstance(label, bool):
                raise OptionError(f"{option('labels')} must be names or numbers of classes, got {label!r}")
        check_sizes(width=self.width, height=self.height, train_size=self.train_size)
        check_seeds(self.seeds)

    def resolved(self, models: Models) -> "ClassToImage":
        """Return the request with numbers for labels, and sizes. Raises ValueError if the models do not fit it."""
        models.check("class_image")
        channels, guided = models.config.in_channels, self.sampling.channels
        if guided is not None and not 1 <= guided <= channels:
            raise OptionError(f"{option('channels')} must be between 1 and the model's {channels}, got {guided}")
        labels = tuple(models.config.label(label) for label in self.labels)
        side = models.native_side(self.train_size)
        return replace(self, labels=labels, width=self.width or side, height=self.height or side, train_size=side)


def class_name(models: Models, number: int) -> str:
    """Return what the models call a class, its number where they have no names."""
    known = models.config.known
    return str(number) if isinstance(known, int) else known[number]


def class_to_image(
    label: str | int, *, seed: int = 0, models: Models | None = None, progress: Progress | None = None, **options: Any
) -> Picture:
    """Return the picture of a class and a seed, by default the demo's.

    `options` are ClassToImage's. Raises ValueError as `class_to_images`.
    """
    return class_to_images(ClassToImage((label,), seeds=(seed,), **options), models, progress)[0]


def class_to_images(
    request: ClassToImage, models: Models | None = None, progress: Progress | None = None
) -> list[Picture]:
    """Return the pictures of a request's classes, for each those of all seeds; they know what made them.

    By default the demo's. Raises ValueError if the models do not fit the request, if the result is not finite and where
    memory runs out, UndecodedError if it does so when all that is missing is to decode; and what loading raises.
    """
    models = models or Models(CLASS_MODEL)
    request = request.resolved(models)
    made = [(label, seed) for label in request.labels for seed in request.seeds]
    of = f"{len(made)} pictures of {request.width}×{request.height} pixels"
    with memory_in_words(models.device, of, "labels", len(made)):
        pixels = draw(request, models, progress)
    told = parameters(request, models)
    return [
        Picture.of(x, {**told, "class": label, "label": class_name(models, int(label)), "seed": seed})
        for x, (label, seed) in zip(pixels, made, strict=True)
    ]


@torch.inference_mode()
def draw(request: ClassToImage, models: Models, progress: Progress | None = None) -> Tensor:
    """Return the pixels (B, 3, H, W) of a request that is `resolved`, in about [-1, 1]. Raises as `class_to_images`."""
    assert request.width and request.height and request.train_size
    network = models.network("class_image")
    size = -(-request.height // models.scale), -(-request.width // models.scale)
    labels = torch.tensor(request.labels).repeat_interleave(len(request.seeds))
    x = noise(request.seeds, *size, models.config.in_channels).repeat(len(request.labels), 1, 1, 1)
    rope = scaled(request.rope, request.train_size, size, models)
    on_step = counted(progress, request.sampling.steps)
    out = sample_classes(network, labels, x, request.sampling, rope=rope, drop=request.drop, on_step=on_step)
    pixels = models.to_pixels(out)
    if not pixels.isfinite().all():
        raise OptionError(f"the picture has NaN or infinite values; try {option('dtype')} fp32")
    return pixels[:, :, : request.height, : request.width]


@torch.inference_mode()
def sample_classes(
    model: ClassDiT,
    labels: Tensor,
    x: Tensor,
    sampling: Sampling,
    *,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow the flow from noise x (B, C, H, W) to pictures of classes (B,), guided away from no class."""
    device = model.x_embedder.weight.device
    none = torch.full_like(labels, model.config.classes)
    rows = torch.cat([labels, none] if sampling.guided else [labels]).to(device)
    velocity = guided_velocity(partial(_without_mask, model), rows, None, sampling, rope=rope, drop=drop)
    return sampling.follow(velocity, x.to(device), on_step=on_step)


def _without_mask(model: ClassDiT, x: Tensor, t: Tensor, labels: Tensor, mask: None, **options: Any) -> Tensor:
    return model(x, t, labels, **options)


def parameters(request: ClassToImage, models: Models) -> dict[str, Any]:
    """Return all that makes the pictures but class and seed; of paths only the last part."""
    sampling = request.sampling
    return {
        "model": models.model.name,
        "vae": None if models.vae is None else models.vae.name,
        "width": request.width,
        "height": request.height,
        "steps": sampling.steps,
        "schedule": sampling.schedule_text,
        "method": sampling.solver,
        "cfg": sampling.cfg,
        "channels": sampling.channels,
        "rope": rope_text(request.rope),
        "context_drop": None if request.drop is None else drop_text(request.drop),
        "train_size": request.train_size,
        **loras_told(models),
        "versions": versions(),
    }
