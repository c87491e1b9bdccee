"""Several views of one object in one run: from a text, an image or both."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..demo import MULTIVIEW_MODEL
from ..nextdit import Call, ContextDrop, MultiViewNextDiT, TextEncoder, Views
from ..nextdit.layers.attend import Attend, default_attend
from ..options import OptionError, option
from ..samplers.solvers import OnStep, Velocity
from .models import Models, memory_in_words
from .pictures import Picture, to_pixels, versions
from .sampling import Progress, Sampling, counted
from .text_to_image import check_image, check_seeds, check_sizes, check_texts, drop_text, listed, loras_told, name_of

Encode = Callable[[list[str]], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ViewsRequest:
    """What is asked for: an object from the sides at `azimuths`, in degrees, of a prompt, an image or both.

    The image shows the object at azimuth 0; views are squares of `size` pixels a side, by default as in training.
    `sampling.cfg` is the guidance on the text, `image_cfg` that on the image. Raises ValueError on values out of range.
    """

    prompt: str = ""
    image: Image.Image | None = None
    azimuths: tuple[float, ...] = tuple(range(0, 360, 45))
    size: int | None = None
    seed: int = 0
    sampling: Sampling = Sampling(20, "uniform", cfg=2.0)
    image_cfg: float = 3.0
    drop: ContextDrop | None = None

    def __post_init__(self):
        object.__setattr__(self, "azimuths", listed("azimuths", self.azimuths))
        check_texts(prompt=self.prompt)
        check_image(self.image)
        check_sizes(size=self.size)
        check_seeds((self.seed,))
        if not self.prompt and self.image is None:
            raise OptionError(f"give {option('prompt')}, {option('image')} or both: there is nothing to show")
        if not self.azimuths or not all(math.isfinite(azimuth) for azimuth in self.azimuths):
            raise OptionError(
                f"{option('azimuths')} must be finite numbers of degrees, one a view, got {self.azimuths}"
            )
        if not math.isfinite(self.image_cfg):
            raise OptionError(f"{option('image_cfg')} must be a finite number, got {self.image_cfg}")
        if self.sampling.channels is not None:
            raise OptionError(f"{option('channels')} must be left out: views are guided on all channels")


def views(request: ViewsRequest, models: Models | None = None, progress: Progress | None = None) -> list[Picture]:
    """Return a picture for every azimuth, by default of the demo's multi-view model; they know what made them.

    Raises ValueError if the models do not fit or the result is not finite, and what loading raises.
    """
    models = models or Models(MULTIVIEW_MODEL)
    models.check("multiview")
    size = request.size or models.native_side(name="size")
    count = len(request.azimuths)
    with memory_in_words(models.device, f"{count} views of {size}×{size} pixels", "azimuths", count):
        pixels = draw(request, models, size, progress)
    told = {
        "prompt": request.prompt,
        "image": None if request.image is None else name_of(request.image),
        "model": models.model.name,
        "text_encoder": models.text_encoder.name,
        "vae": None if models.vae is None else models.vae.name,
        "size": size,
        "steps": request.sampling.steps,
        "schedule": request.sampling.schedule_text,
        "method": request.sampling.solver,
        "cfg": request.sampling.cfg,
        "image_cfg": request.image_cfg,
        "context_drop": None if request.drop is None else drop_text(request.drop),
        **loras_told(models),
        "seed": request.seed,
        "versions": versions(),
    }
    return [Picture.of(x, {**told, "azimuth": a}) for x, a in zip(pixels, request.azimuths, strict=True)]


@torch.inference_mode()
def draw(request: ViewsRequest, models: Models, size: int, progress: Progress | None = None) -> Tensor:
    """Return the pixels (N, 3, size, size) of a request's views, in about [-1, 1]."""
    side = -(-size // models.scale)
    image = None
    if request.image is not None:
        image = models.from_pixels(to_pixels(request.image, models.scale * side, models.scale * side))
    shape = (1, len(request.azimuths), models.config.in_channels, side, side)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(request.seed))
    x = sample_views(
        models.network("multiview"),
        models.encoder(),
        [request.prompt],
        torch.tensor([request.azimuths], dtype=torch.float32),
        x,
        request.sampling,
        image=image,
        image_cfg=request.image_cfg,
        drop=request.drop,
        on_step=counted(progress, request.sampling.steps),
    )[0].float()
    pixels = models.to_pixels(x)[..., :size, :size]
    if not pixels.isfinite().all():
        raise OptionError(f"the views have NaN or infinite values; try {option('dtype')} fp32, or bf16 instead of fp16")
    return pixels


def views_velocity(
    model: MultiViewNextDiT,
    conditions: Sequence[tuple[float, Tensor, Tensor, Tensor | None]],
    azimuths: Tensor,
    attend: Callable[[int], Attend],
    **options: Any,
) -> Velocity:
    """Return the velocity of views x (B, N, C, H, W): a sum over what each is conditioned on.

    That is a factor, a text's features and mask, and an image (B, C, H, W) or none. `attend` is given the number of
    frames; `options` are Call's.
    """

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        t = t.to(x.device)
        for factor, text, mask, image in conditions:
            frames = x.shape[1] + (image is not None)
            call = Call.of(t, model.config.n_layers, attend=attend(frames), cross=default_attend, **options)
            views = Views(x, azimuths, image)
            total += factor * model.velocity(views, t.expand(len(x)), text.to(x), mask.to(x.device).bool(), call)
        return total

    return velocity


@torch.inference_mode()
def sample_views(
    model: MultiViewNextDiT,
    encoder: TextEncoder | Encode,
    prompts: Sequence[str],
    azimuths: Tensor,
    x: Tensor,
    sampling: Sampling,
    *,
    image: Tensor | None = None,
    image_cfg: float = 1.0,
    drop: ContextDrop | None = None,
    positions: Sequence[Tensor] | None = None,
    attend: Callable[[int], Attend] = lambda frames: default_attend,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow the flow from noise x (B, N, C, H, W) to views at azimuths (B, N), in degrees, of B prompts and images.

    Guided by v∅ + s_I (v_I − v∅) + s_T (v_IT − v_I), or without image (B, C, H, W) by v∅ + s_T (v_T − v∅); with empty
    prompts by v∅ + s_I (v_I − v∅). s_T is the sampling's cfg, s_I `image_cfg`.
    """
    weight = model.x_embedder.weight
    x, azimuths = x.to(weight), azimuths.to(weight.device)
    image = None if image is None else image.to(weight)
    s_text = sampling.cfg if any(prompts) else 0.0
    s_image = image_cfg if image is not None else 1.0
    # what each velocity counts: the sum above, sorted by what it is conditioned on
    terms = [(s_text, list(prompts), image), (s_image - s_text, [""] * len(prompts), image)]
    terms += [(1.0 - s_image, [""] * len(prompts), None)]
    conditions = [(factor, *encoder(texts), given) for factor, texts, given in terms if factor]
    velocity = views_velocity(model, conditions, azimuths, attend, drop=drop, positions=positions)
    return sampling.follow(velocity, x, on_step=on_step)
