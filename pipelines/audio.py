"""Sounds and music in one run: from a text, or from a sound that is varied, or of which a stretch is made anew."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path

import torch
from torch import Tensor

from ..demo import FOLDER
from ..nextdit import RopeScaling
from ..nextdit.audio_config import MOST_SECONDS, AudioConfig
from ..nextdit.audio_files import AUTOENCODER, TEXT, build_coder, build_text
from ..nextdit.captions import Part, in_parts, prompt_of
from ..nextdit.encoders.audio.coder import SoundCoder
from ..nextdit.encoders.audio.splice import splice
from ..nextdit.files import read_weights
from ..options import OptionError, file_of, option
from .frames import Given, sample_frames
from .models import Models, memory_in_words
from .pictures import versions
from .sampling import Encoder, Progress, Sampling, counted
from .sounds import Sound, heard, read_sound
from .text_to_image import check_seeds, check_texts, loras_told, rope_text

SOUNDS = FOLDER / "diffusion_models" / "lumina-next-demo-sounds.safetensors"
MUSIC = FOLDER / "diffusion_models" / "lumina-next-demo-music.safetensors"
OWN_TEXT = "its own"
DENOISE = 0.6
"""How much of a given sound changes where it is not said; a stretch of it changes altogether."""


@dataclass(frozen=True)
class AudioRequest:
    """What is asked for: `seconds` of sound of a prompt, by default as long as in training, or as the given `sound`.

    With `in_order` each of several sounds, as `captions.in_parts` reads them, has its part of the time and only that:
    by default for models that come without text encoders of their own, which are the box's.

    `sound`, a file or a Sound, is one to vary, `denoise` being how much of it may change; with `stretch`, from where to
    where in seconds, only that part is made anew; longer `seconds` go on with it. `vocoder` makes sound of spectra: a
    folder, "griffin_lim", or by default what lies beside the model. `rope` is how time is stretched for longer sounds
    than in training. Raises ValueError on values out of range.
    """

    prompt: str = ""
    negative: str = ""
    seconds: float | None = None
    seed: int = 0
    sampling: Sampling = Sampling(20, "uniform", cfg=3.0)
    sound: Sound | str | Path | None = None
    denoise: float | None = None
    stretch: tuple[float, float] | None = None
    vocoder: str | Path | None = None
    rope: RopeScaling = RopeScaling("auto")
    in_order: bool | None = None

    def __post_init__(self):
        check_texts(prompt=self.prompt, negative=self.negative)
        check_seeds((self.seed,))
        if not self.prompt.strip() and self.sound is None:
            raise OptionError(f"{option('prompt')} is empty: say what is to be heard")
        if self.seconds is not None:
            check_seconds(self.seconds, "seconds")
        if self.sound is None and (self.denoise is not None or self.stretch is not None):
            raise OptionError(f"{option('denoise')} and {option('stretch')} need a {option('sound')} to start from")
        if self.sound is not None and not isinstance(self.sound, Sound | str | Path):
            raise OptionError(f"{option('sound')} must be a file or a Sound, got {type(self.sound).__name__}")
        if self.denoise is not None and not 0 < self.denoise <= 1:
            raise OptionError(f"{option('denoise')} must be above 0 and at most 1, got {self.denoise}")
        if self.stretch is not None:
            check_stretch(self.stretch)
        if self.sampling.channels is not None:
            raise OptionError(f"{option('channels')} must be left out: sounds are guided on all channels")


def check_stretch(stretch: Sequence[float]) -> None:
    """Raise ValueError unless these are two times, one after the other."""
    told = ", ".join(f"{each:g}" if isinstance(each, Real) else repr(each) for each in stretch)
    numbers = len(stretch) == 2 and all(isinstance(each, Real) and math.isfinite(each) for each in stretch)
    if not (numbers and 0 <= stretch[0] < stretch[1]):
        raise OptionError(
            f"{option('stretch')} must be two times in seconds, the first before the second, got {told or 'none'}"
        )


def check_seconds(seconds: float, name: str) -> None:
    """Raise ValueError for a length that cannot be made at once."""
    if not isinstance(seconds, Real):
        raise OptionError(f"{option(name)} must be a number, got {seconds!r}")
    if not (math.isfinite(seconds) and 0 < seconds <= MOST_SECONDS):
        raise OptionError(f"{option(name)} must be above 0 and at most {MOST_SECONDS:g}, got {seconds:g}")


@dataclass(frozen=True)
class AudioParts:
    """What belongs to an audio network: `coder` makes frames of sound and sound of frames; what is told of the rest."""

    encoder: Callable[[], Encoder]
    coder: SoundCoder
    text_encoder: str


def parts(models: Models, vocoder: str | Path | None = None) -> AudioParts:
    """Return what belongs to the models' network, from its file, else as the models say.

    Raises ValueError, naming what is missing and where to put it, and for parts that do not fit the network.
    """
    models.check_family("audio")
    config: AudioConfig = models.config
    with file_of("model", models.model):
        weights = read_weights(models.model)
    own = {key: x for key, x in weights.items() if key.startswith((AUTOENCODER, TEXT))}
    del weights
    with file_of("model", models.model):
        coder = build_coder(own, models.model, config, vocoder).eval().to(models.device)
        text = build_text(own, models.model)
    if text is not None:
        text.model.to(models.device)
        return AudioParts(lambda: text, coder, OWN_TEXT)
    return AudioParts(partial(other_encoder, models), coder, models.text_encoder.name)


def other_encoder(models: Models) -> Encoder:
    """Return the models' text encoder. Raises ValueError if it is another than the network was trained with."""
    encoder, wanted = models.encoder(), models.config.text_dim
    if encoder.width != wanted:
        raise OptionError(
            f"{models.model} has no text encoder in it, and takes text features {wanted} wide, not the "
            f"{encoder.width} of {models.text_encoder.name}: give {option('text_encoder')} the folder of the one that "
            "it was trained with, or take the checkpoint with all its parts"
        )
    return encoder


def audio(request: AudioRequest, models: Models | None = None, progress: Progress | None = None) -> Sound:
    """Return the sound of a request, by default of the demo's model of sounds; it knows what made it.

    Raises ValueError if the models do not fit or the result is not finite, and what loading raises.
    """
    models = models or Models(SOUNDS)
    models.check_family("audio")
    given = given_sound(request.sound)
    seconds = length(request, models.config, given)
    request = going_on(request, seconds, given)
    belonging = parts(models, request.vocoder)
    with memory_in_words(models.device, f"{seconds:g} s of sound", "seconds", 1):
        made = draw(request, models, belonging, seconds, given, progress)
    told = {
        "prompt": request.prompt,
        "negative": request.negative,
        "sound": None if given is None else given.parameters.get("file") or given.parameters.get("prompt"),
        "denoise": None if given is None else denoise_of(request),
        "stretch": request.stretch,
        "model": models.model.name,
        "text_encoder": belonging.text_encoder,
        "seconds": seconds,
        "steps": request.sampling.steps,
        "schedule": request.sampling.schedule_text,
        "method": request.sampling.solver,
        "cfg": request.sampling.cfg,
        "rope": rope_text(request.rope),
        "in_order": bool(parts_of(request, belonging)),
        **loras_told(models),
        "seed": request.seed,
        "versions": versions(),
    }
    return Sound(made, belonging.coder.mel.sample_rate, told)


def given_sound(sound: Sound | str | Path | None) -> Sound | None:
    """Return the sound of a request, None without one. Raises what `read_sound` does."""
    if sound is None:
        return None
    return heard(sound) if isinstance(sound, Sound) else read_sound(sound)


def length(request: AudioRequest, config: AudioConfig, given: Sound | None) -> float:
    """Return how long the sound will be, in seconds. Raises ValueError for a stretch that is not in it."""
    seconds = request.seconds or (config.train_seconds if given is None else given.seconds)
    check_seconds(seconds, "seconds" if given is None else "sound")
    if request.stretch is not None and request.stretch[0] >= seconds:
        raise OptionError(
            f"{option('stretch')} begins at {request.stretch[0]:g} s, but the sound is {seconds:.2f} s long"
        )
    return seconds


def going_on(request: AudioRequest, seconds: float, given: Sound | None) -> AudioRequest:
    """Return the request in which a longer sound than the given one is that one and what follows it.

    A stretch of it ends where the sound does.
    """
    if request.stretch is not None:
        return replace(request, stretch=(request.stretch[0], min(request.stretch[1], seconds)))
    if given is None or request.denoise or seconds <= given.seconds:
        return request
    return replace(request, stretch=(given.seconds, seconds))


def denoise_of(request: AudioRequest) -> float:
    """Return how much may change: what is asked for, all of a stretch, or the default."""
    return request.denoise or (DENOISE if request.stretch is None else 1.0)


def scaling(rope: RopeScaling, models: Models, frames: int) -> RopeScaling | None:
    """Return a scaling for so many frames, its method decided, None within the length of training."""
    config: AudioConfig = models.config
    factor = math.ceil(frames / config.patch_size) / config.train_tokens
    if factor <= 1:
        return None
    kept = {name: getattr(rope, name) for name in ("watershed", "proportional", "return_from", "return_to")}
    stretched = RopeScaling(rope.method, factor, config.train_tokens, **kept)
    return stretched.resolved(models.about.family.native(config))[0]


def parts_of(request: AudioRequest, belonging: AudioParts) -> list[Part]:
    """Return the parts of the time that the request's prompt is heard in one by one, none if it is heard as a whole."""
    wanted = belonging.text_encoder != OWN_TEXT if request.in_order is None else request.in_order
    return in_parts(request.prompt) if wanted else []


@torch.inference_mode()
def draw(
    request: AudioRequest,
    models: Models,
    belonging: AudioParts,
    seconds: float,
    given: Sound | None,
    progress: Progress | None = None,
) -> Tensor:
    """Return the sound (samples,) of a request; `given` is what it starts from."""
    rate, config, encoder = belonging.coder.mel.sample_rate, models.config, belonging.encoder()
    samples = round(seconds * rate)
    if not samples:
        raise OptionError(f"{option('seconds')} is {seconds:g}, less than one of {rate} samples a second: ask for more")
    frames = -(-samples // (belonging.coder.hop * config.patch_size)) * config.patch_size
    start, sampling = None, request.sampling
    if given is not None:
        start = starting(request, belonging.coder, given.at(rate).samples[:samples], frames)
        sampling = sampling.shortened(1.0 - start.denoise)
    parts = parts_of(request, belonging)
    made = sample_frames(
        models.network("audio"),
        encoder,
        [prompt_of(request.prompt).structured if parts else request.prompt],
        [request.seed],
        frames,
        sampling,
        negatives=[request.negative],
        given=start,
        parts=[parts] if parts else None,
        rope=scaling(request.rope, models, frames),
        on_step=counted(progress, sampling.steps),
    )
    sound = belonging.coder.decode(made)[0, 0, :samples].float().cpu()
    if not sound.isfinite().all():
        raise OptionError(f"the sound has NaN or infinite values; try {option('dtype')} fp32, or bf16 instead of fp16")
    return kept(sound, given, request, rate)


def starting(request: AudioRequest, coder: SoundCoder, sound: Tensor, frames: int) -> Given:
    """Return what a run of so many frames begins from; past the end of the sound is silence, to be made anew."""
    whole = torch.nn.functional.pad(sound, (0, frames * coder.hop - len(sound)))
    device = next(coder.parameters(), torch.zeros(())).device
    known = coder.encode(whole[None, None].to(device))[..., :frames]
    if request.stretch is None:
        return Given(known, denoise_of(request))
    place = torch.arange(frames)
    begin, end = (each * coder.frame_rate for each in request.stretch)
    return Given(known, denoise_of(request), (place >= math.floor(begin)) & (place < math.ceil(end)))


def kept(sound: Tensor, given: Sound | None, request: AudioRequest, rate: int) -> Tensor:
    """Return a sound (samples,) with the given one's own samples outside of the stretch.

    What frames make of them is nearly the same, but not their phases.
    """
    if given is None or request.stretch is None:
        return sound
    return splice(given.at(rate).samples[: len(sound)], sound, rate, *request.stretch)
