"""Text to image, in one pass or two, and image to image."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ..nextdit import ContextDrop, RopeScaling
from ..nextdit.layers.rope_scaling import DEFAULT, METHODS, scale_factor
from ..options import OptionError, named_text, option
from .models import Models, compiler_in_words, memory_in_words
from .pictures import Picture, to_pixels, upright_size, versions
from .sampling import Progress, Sampling, counted, features, guided_velocity, noise

DENOISE = 0.6
MOST_PIXELS = 100_000
"""A side of a picture: a slip of the keyboard is said at once, not when memory ends."""


@dataclass(frozen=True)
class TextToImage:
    """What is asked for: a picture of a prompt for every seed.

    `width` and `height` in pixels are by default the image's, scaled down to the area that the model was trained on,
    or that square. `train_size` is its side in pixels, by default what the model's file says. Above it RoPE is scaled
    as `rope` says, whose factor and train_tokens follow from the sizes. With `second_pass` larger pictures are made
    at that size, enlarged, and painted over with this much of the noise and of the steps. `image` is painted over with
    `denoise` of both, by default DENOISE. Raises ValueError on values out of range.
    """

    prompt: str
    negative: str = ""
    width: int | None = None
    height: int | None = None
    seeds: tuple[int, ...] = (0,)
    sampling: Sampling = Sampling()
    rope: RopeScaling = RopeScaling(DEFAULT)
    drop: ContextDrop | None = None
    second_pass: float | None = None
    image: Image.Image | None = None
    denoise: float | None = None
    train_size: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "seeds", listed("seeds", self.seeds))
        check_texts(prompt=self.prompt, negative=self.negative)
        check_image(self.image)
        check_sizes(width=self.width, height=self.height, train_size=self.train_size)
        check_seeds(self.seeds)
        if self.second_pass is not None and not 0 < self.second_pass < 1:
            raise OptionError(f"{option('second_pass')} must be between 0 and 1, got {self.second_pass:g}")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise OptionError(f"{option('denoise')} must be above 0 and at most 1, got {self.denoise:g}")
        if self.denoise is not None and self.image is None:
            raise OptionError(f"{option('denoise')} goes with {option('image')}, which is painted over")
        if self.second_pass is not None and self.image is not None:
            raise OptionError(f"{option('second_pass')} enlarges a first pass: leave it out with {option('image')}")

    def resolved(self, models: Models) -> "TextToImage":
        """Return the request with the sizes that the models are at home with. Raises ValueError as it does not fit."""
        models.check("image")
        channels, guided = models.config.in_channels, self.sampling.channels
        if guided is not None and not 1 <= guided <= channels:
            raise OptionError(f"{option('channels')} must be between 1 and the model's {channels}, got {guided}")
        side = models.native_side(self.train_size)
        width, height = (side, side) if self.image is None else within_area(upright_size(self.image), side)
        return replace(self, width=self.width or width, height=self.height or height, train_size=side)


def within_area(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return width and height scaled down to the area of a square, if it is larger."""
    factor = min(1.0, side / math.sqrt(size[0] * size[1]))
    return max(1, round(factor * size[0])), max(1, round(factor * size[1]))


def check_texts(**texts: object) -> None:
    """Raise ValueError unless the named texts are."""
    for name, text in texts.items():
        if not isinstance(text, str):
            raise OptionError(f"{option(name)} must be a text, got {text!r}")


def listed(name: str, values: Any) -> tuple:
    """Return several values as a tuple. Raises ValueError on a single one."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise OptionError(f"{option(name)} must be a list of numbers, got {values!r}")
    return tuple(values)


def check_image(image: object) -> None:
    """Raise ValueError unless an image is PIL's, or none."""
    if image is not None and not isinstance(image, Image.Image):
        raise OptionError(f"{option('image')} must be a PIL image, got {image!r}; PIL.Image.open reads a file")


def check_sizes(**sizes: object) -> None:
    """Raise ValueError unless the named sizes, where they are given, are whole numbers of pixels."""
    for name, size in sizes.items():
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            raise OptionError(f"{option(name)} must be a whole number of pixels, got {size!r}")
        if size is not None and size < 1:
            raise OptionError(f"{option(name)} must be at least 1, got {size}")
        if size is not None and size > MOST_PIXELS:
            raise OptionError(f"{option(name)} must be at most {MOST_PIXELS} pixels, got {size}")


def check_seeds(seeds: Sequence[object]) -> None:
    """Raise ValueError unless there are seeds, and torch takes them all."""
    if not seeds:
        raise OptionError(f"{option('seeds')} must be one at least: each is a picture")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise OptionError(f"{option('seed')} must be between 0 and 2**63 - 1, got {seed!r}")


def text_to_image(
    prompt: str, *, seed: int = 0, models: Models | None = None, progress: Progress | None = None, **options: Any
) -> Picture:
    """Return the picture of a prompt and a seed, by default the demo's.

    `options` are TextToImage's. Raises ValueError as `text_to_images`.
    """
    return text_to_images(TextToImage(prompt, seeds=(seed,), **options), models, progress)[0]


def text_to_images(
    request: TextToImage, models: Models | None = None, progress: Progress | None = None
) -> list[Picture]:
    """Return the pictures of a request's seeds, by default the demo's; they know what made them.

    Raises ValueError if the models do not fit the request or one another, if the result is not finite and where memory
    runs out, UndecodedError if it does so when all that is missing is to decode it; and what loading raises.
    """
    models = models or Models()
    request = request.resolved(models)
    count = len(request.seeds)
    what = "a picture" if count == 1 else f"{count} pictures at once"
    of = f"{what} of {request.width}×{request.height} pixels"
    with compiler_in_words(), memory_in_words(models.device, of, "seeds", count):
        pixels = draw(request, models, progress)
    told = parameters(request, models)
    return [Picture.of(x, {**told, "seed": seed}) for x, seed in zip(pixels, request.seeds, strict=True)]


@torch.inference_mode()
def draw(request: TextToImage, models: Models, progress: Progress | None = None) -> Tensor:
    """Return the pixels (B, 3, H, W) of a request that is `resolved`, in about [-1, 1]. Raises as `text_to_images`."""
    plan = passes(request, models)
    start = None
    if request.image is not None:
        height, width = (models.scale * side for side in plan[0].size)
        start = models.from_pixels(to_pixels(request.image, width, height))
    text = features(models.encoder(), [request.prompt], [request.negative], request.sampling)
    pixels = models.to_pixels(follow(request, models, plan, text, start, progress))
    if not pixels.isfinite().all():
        raise OptionError(
            f"the picture has NaN or infinite values; try {option('dtype')} fp32, or bf16 instead of fp16"
        )
    return pixels[:, :, : request.height, : request.width]


@dataclass(frozen=True)
class Pass:
    """One way along the flow: rows and columns of what the network works on, from t = `begin` to data."""

    size: tuple[int, int]
    sampling: Sampling
    begin: float = 0.0


def passes(request: TextToImage, models: Models) -> list[Pass]:
    """Return the passes of a request that is `resolved`: the first of two has the area seen in training."""
    assert request.width and request.height and request.train_size
    size = -(-request.height // models.scale), -(-request.width // models.scale)
    factor = (size[0] * size[1]) ** 0.5 / (request.train_size // models.scale)
    if request.second_pass is not None and factor > 1:
        first = max(1, round(size[0] / factor)), max(1, round(size[1] / factor))
        begin = 1 - request.second_pass
        return [Pass(first, request.sampling), Pass(size, request.sampling.shortened(begin), begin)]
    begin = 0.0 if request.image is None else 1 - (request.denoise or DENOISE)
    return [Pass(size, request.sampling.shortened(begin), begin)]


def follow(
    request: TextToImage,
    models: Models,
    plan: list[Pass],
    text: tuple[Tensor, Tensor | None],
    start: Tensor | None,
    progress: Progress | None,
) -> Tensor:
    """Return what the network makes (B, C, h, w) of all seeds, painted over `start` (1, C, h, w) if there is one.

    The text's features are those of one prompt and, with guidance, of the one to steer away from.
    """
    assert request.train_size
    network = models.velocity()
    rows, mask = text[0].repeat_interleave(len(request.seeds), 0), text[1]
    mask = None if mask is None else mask.repeat_interleave(len(request.seeds), 0)
    on_step = counted(progress, sum(one.sampling.steps for one in plan))
    x = start
    for one in plan:
        fresh = noise(request.seeds, *one.size, models.config.in_channels).to(models.device)
        if x is not None:
            over = x if x.shape[-2:] == one.size else interpolate(x, one.size, mode="bicubic")
            fresh = (1 - one.begin) * fresh + one.begin * over
        rope = scaled(request.rope, request.train_size, one.size, models)
        velocity = guided_velocity(network, rows, mask, one.sampling, rope=rope, drop=request.drop)
        x = one.sampling.follow(velocity, fresh, one.begin, on_step)
    assert x is not None
    return x


def scaled(rope: RopeScaling, train_size: int, size: tuple[int, int], models: Models) -> RopeScaling:
    """Return the scaling for rows and columns of what the network works on, its method chosen if it is `auto`."""
    patch = models.config.patch_size
    train_tokens = round(train_size / (patch * models.scale))
    tokens = -(-size[0] // patch), -(-size[1] // patch)
    fitting = replace(rope, factor=scale_factor(tokens, train_tokens), train_tokens=train_tokens)
    return fitting.resolved(models.about.family.native(models.config))[0]


def parameters(request: TextToImage, models: Models) -> dict[str, Any]:
    """Return all that makes a picture but its seed; of paths only the last part, which names no home folder."""
    sampling, image = request.sampling, request.image
    dtype = None if models.dtype is None else str(models.dtype).removeprefix("torch.")
    painted_over = {} if image is None else {"image": name_of(image), "denoise": request.denoise or DENOISE}
    return {
        "prompt": request.prompt,
        "negative": request.negative,
        "model": models.model.name,
        "text_encoder": models.text_encoder.name,
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
        "second_pass": request.second_pass,
        **painted_over,
        "train_size": request.train_size,
        **loras_told(models),
        "seed": request.seeds[0],
        "dtype": dtype,
        "versions": versions(),
    }


def loras_told(models: Models) -> dict[str, list[str]]:
    """Return the LoRAs and their strengths as FILE,number, if there are any."""
    told = [f"{file.name},{strength:g}" for file, strength in models.loras]
    return {"loras": told} if told else {}


def name_of(image: Image.Image) -> str:
    """Return the name of an image's file, or what it is."""
    return Path(getattr(image, "filename", "")).name or f"{image.width}×{image.height} pixels"


def changed(value: Any, names: Sequence[str]) -> dict[str, float]:
    """Return the named fields of a dataclass's value that are not the defaults."""
    defaults = {field.name: field.default for field in fields(value)}
    return {name: getattr(value, name) for name in names if getattr(value, name) != defaults[name]}


def rope_text(rope: RopeScaling) -> str:
    """Return the method as NAME,key=number,…."""
    names = [parameter.name for parameter in METHODS[rope.method].parameters]
    return named_text(rope.method, changed(rope, names)) + (",proportional" if rope.proportional else "")


def drop_text(drop: ContextDrop) -> str:
    """Return the context drop as FADE,key=number,…."""
    return named_text(drop.fade, changed(drop, ("window", "start", "end"))) + (
        ",before_rope" if drop.before_rope else ""
    )
