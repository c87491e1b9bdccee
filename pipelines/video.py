"""Clips of video in one run: from a text, from frames that are given, or from a clip that is drawn anew."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..demo import VIDEO_MODEL
from ..nextdit import Call, ContextDrop, RopeScaling, TextEncoder, VideoNextDiT
from ..nextdit.captions import Part
from ..nextdit.layers.rope_scaling import scale_factor
from ..nextdit.train_size import train_frames
from ..options import OptionError, option
from ..samplers.solvers import OnStep
from .clips import Clip
from .models import Models, memory_in_words
from .pictures import Picture, to_pixels, versions
from .sampling import Progress, Sampling, counted, features, guided_velocity
from .text_to_image import check_image, check_seeds, check_sizes, check_texts, loras_told, name_of, rope_text
from .timed import Run, TimedText, even_parts

DENOISE = 0.6
"""How much of a given clip changes where it is not said."""


@dataclass(frozen=True)
class VideoRequest:
    """What is asked for: `frames` of a prompt, `width` × `height` pixels, by default as in training.

    `then` are prompts that follow it, each with as much of the time.

    `image` is the first frame and `last_image` the last, and what is between them is drawn. `clip` is one to draw anew,
    `denoise` being how much of it may change. `rope` is how positions are stretched for more frames or pixels than in
    training, `window` how many frames each frame sees, by default all. `fps` is what the file says. Raises ValueError
    on values out of range.
    """

    prompt: str = ""
    negative: str = ""
    image: Image.Image | None = None
    last_image: Image.Image | None = None
    clip: Sequence[Image.Image] | None = None
    denoise: float | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float = 8.0
    seed: int = 0
    sampling: Sampling = Sampling(10, "uniform", cfg=2.0)
    rope: RopeScaling = RopeScaling("auto")
    window: int | None = None
    then: Sequence[str] = ()

    def __post_init__(self):
        check_texts(prompt=self.prompt, negative=self.negative)
        if isinstance(self.then, str):
            raise OptionError(f"{option('then')} must be a list of prompts, got one: put it in brackets")
        for text in self.then:
            check_texts(then=text)
        for image in (self.image, self.last_image, *(self.clip or ())):
            check_image(image)
        check_sizes(width=self.width, height=self.height)
        check_seeds((self.seed,))
        for name in ("frames", "window"):
            count = getattr(self, name)
            if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
                raise OptionError(f"{option(name)} must be a whole number, at least 1, got {count!r}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise OptionError(f"{option('fps')} must be above 0, got {self.fps}")
        self.check_given()
        if self.sampling.channels is not None:
            raise OptionError(f"{option('channels')} must be left out: clips are guided on all channels")

    def check_given(self) -> None:
        """Raise ValueError if what is given does not go together."""
        if not self.prompt and self.image is None and self.last_image is None and self.clip is None:
            raise OptionError(
                f"give {option('prompt')}, {option('image')} or {option('clip')}: there is nothing to show"
            )
        if self.denoise is not None and self.clip is None:
            raise OptionError(f"{option('denoise')} needs a {option('clip')} to start from")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise OptionError(f"{option('denoise')} must be above 0 and at most 1, got {self.denoise}")
        if self.clip is not None and (not len(self.clip) or self.frames not in (None, len(self.clip))):
            raise OptionError(
                f"{option('frames')} is {self.frames}, but the {option('clip')} has {len(self.clip)}: leave it out"
            )
        if self.frames is not None and self.frames <= (self.image is not None) + (self.last_image is not None):
            raise OptionError(f"{option('frames')} is {self.frames}, and no frame is left to draw: ask for more")

    def resolved(self, models: Models) -> tuple[int, int, int]:
        """Return frames, height and width: what is asked for, else that of the clip, else as in training."""
        models.check("video")
        side = models.native_side(name="size")
        width, height = self.clip[0].size if self.clip else (side, side)
        told = train_frames(models.about.metadata)
        frames = self.frames or (len(self.clip) if self.clip else told)
        if frames is None:
            raise OptionError(
                f"{models.model} does not say how many frames it was trained with: give {option('frames')}"
            )
        return frames, self.height or height, self.width or width


def video(request: VideoRequest, models: Models | None = None, progress: Progress | None = None) -> Clip:
    """Return the clip of a request, by default of the demo's video model; it knows what made it.

    Raises ValueError if the models do not fit or the result is not finite, and what loading raises.
    """
    models = models or Models(VIDEO_MODEL)
    frames, height, width = request.resolved(models)
    with memory_in_words(models.device, f"{frames} frames of {width}×{height} pixels", "frames", frames):
        pixels = draw(request, models, (frames, height, width), progress)
    given = {name: getattr(request, name) for name in ("image", "last_image")}
    told = {
        "prompt": request.prompt,
        "negative": request.negative,
        "then": list(request.then),
        **{name: None if image is None else name_of(image) for name, image in given.items()},
        "denoise": None if request.clip is None else request.denoise or DENOISE,
        "model": models.model.name,
        "text_encoder": models.text_encoder.name,
        "vae": None if models.vae is None else models.vae.name,
        "frames": frames,
        "width": width,
        "height": height,
        "fps": request.fps,
        "steps": request.sampling.steps,
        "schedule": request.sampling.schedule_text,
        "method": request.sampling.solver,
        "cfg": request.sampling.cfg,
        "rope": rope_text(request.rope),
        "window": request.window,
        **loras_told(models),
        "seed": request.seed,
        "versions": versions(),
    }
    return Clip([Picture.of(frame, {**told, "frame": i}) for i, frame in enumerate(pixels)], request.fps, told)


def scaling(rope: RopeScaling, models: Models, grid: tuple[int, int], frames: int) -> RopeScaling:
    """Return a scaling for a clip of so many frames on a grid of (rows, columns) tokens, its method decided."""
    config = models.config
    tokens = models.native_side(name="size") // (config.patch_size * models.scale)
    trained = train_frames(models.about.metadata) or frames
    return clip_scaling(rope, grid, frames, tokens, trained).resolved(models.about.family.native(config))[0]


def clip_scaling(rope: RopeScaling, grid: tuple[int, int], frames: int, tokens: int, trained: int) -> RopeScaling:
    """Return a scaling with the factors of a clip: of its grid past `tokens` a side, of its frames past `trained`."""
    return RopeScaling(
        rope.method,
        scale_factor(grid, tokens),
        tokens,
        watershed=rope.watershed,
        proportional=rope.proportional,
        return_from=rope.return_from,
        return_to=rope.return_to,
        frames=max(1.0, frames / trained),
        train_frames=trained,
    )


@torch.inference_mode()
def draw(request: VideoRequest, models: Models, size: tuple[int, int, int], progress: Progress | None = None) -> Tensor:
    """Return the pixels (F, 3, H, W) of a request's clip of (F, H, W), in about [-1, 1]."""
    frames, height, width = size
    cells = -(-height // models.scale), -(-width // models.scale)
    network: VideoNextDiT = models.network("video")

    def latents(images: Sequence[Image.Image]) -> Tensor:
        pixels = torch.cat([to_pixels(image, models.scale * cells[1], models.scale * cells[0]) for image in images])
        return models.from_pixels(pixels).cpu().float()  # (N, C, h, w)

    generator = torch.Generator().manual_seed(request.seed)
    x = torch.randn((1, models.config.in_channels, frames, *cells), generator=generator)
    sampling, begin = request.sampling, 0.0
    if request.clip:
        begin = 1 - (request.denoise or DENOISE)
        sampling = sampling.shortened(begin)
        x = torch.lerp(x, latents(request.clip).transpose(0, 1)[None], begin)
    given = torch.zeros(frames, dtype=torch.bool)
    for place, image in ((0, request.image), (frames - 1, request.last_image)):
        if image is not None:
            x[0, :, place], given[place] = latents([image])[0], True
    patch = models.config.patch_size
    grid = -(-cells[0] // patch), -(-cells[1] // patch)
    x = sample_clips(
        network,
        models.encoder(),
        [request.prompt],
        x,
        sampling,
        negatives=[request.negative],
        begin=begin,
        given=given if given.any() else None,
        window=request.window,
        rope=scaling(request.rope, models, grid, frames),
        parts=[even_parts([request.prompt, *request.then])] if request.then else None,
        on_step=counted(progress, sampling.steps),
    )[0].transpose(0, 1)
    pixels = models.to_pixels(x.float())[..., :height, :width]
    if not pixels.isfinite().all():
        raise OptionError(f"the clip has NaN or infinite values; try {option('dtype')} fp32, or bf16 instead of fp16")
    return pixels


@torch.inference_mode()
def sample_clips(
    model: VideoNextDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    x: Tensor,
    sampling: Sampling,
    *,
    negatives: Sequence[str] | None = None,
    begin: float = 0.0,
    given: Tensor | None = None,
    window: int | None = None,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
    parts: Sequence[Sequence[Part]] | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Follow the flow from x (B, C, F, H, W), noise or what stands at t = `begin`, to clips of B prompts.

    Frames that are `given` (F,) are clean in x, and stay as they are. `parts` of each prompt, at the same times, are
    seen in their part of the time only, for which context is not dropped.
    """
    weight = model.x_embedder.weight
    negatives = negatives or [""] * len(prompts)
    options: dict[str, Any] = {"given": given, "window": window, "rope": rope, "drop": drop}
    of_text = replace(sampling, cfg=1.0) if parts else sampling
    text, mask = features(encoder, negatives if parts else prompts, negatives, of_text)
    mask = mask if mask is None else mask.to(weight.device)
    velocity = guided_velocity(model, text.to(weight), mask, of_text, **options)
    if parts:
        away, run = velocity, of_frames(model, given, window, rope)
        timed = TimedText.of(encoder, prompts, parts, x.shape[2:], weight)
        wanted = timed.velocity(run, model.config.patch_size)
        velocity = (lambda x, t: sampling.guide(wanted(x, t), away(x, t))) if sampling.guided else wanted
    return sampling.follow(velocity, x.to(weight.device), begin, on_step)


def of_frames(model: VideoNextDiT, given: Tensor | None, window: int | None, rope: RopeScaling | None) -> Run:
    """Return what calls a network for some of the frames that the arguments are for."""
    dtype = model.x_embedder.weight.dtype

    def run(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, call: Call, frames: slice) -> Tensor:
        count, known = frames.stop - frames.start, None if given is None else given[frames]
        scaled = rope and replace(rope, frames=max(1.0, count / (rope.train_frames or count)))
        return model.velocity(x.to(dtype), t, text, mask, replace(call, rope=scaled), given=known, window=window).to(
            x.dtype
        )

    return run
