"""`lumina-next audio`: a prompt or a sound in, a sound out."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo import TEXT_ENCODER
from .jobs import DTYPES, ROPE, numbered, progress_bar, scaling
from .outputs import check_output
from .remarks import say, without_guidance

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from ..pipelines import AudioRequest, Models

SUFFIXES = (".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("audio", help="make a sound or music from a prompt, vary one, or make a part anew")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("prompt", nargs="?", default="", help="what is to be heard, also which sound when: <rain& all>@<a dog& end>")
    add("--negative", default="", metavar="TEXT", help="what to steer away from")
    add("--seconds", type=float, help="length, at most 600; default: as in training, or of --sound")
    add("--music", action="store_true", help="the demo's model of music in place of that of sounds")
    add("--sound", type=Path, metavar="FILE", help="sound to vary, or with longer --seconds to go on with")
    add("--denoise", type=float, help="how much of --sound may change: 1 is all of it; default: 0.6")
    add("--stretch", metavar="FROM,TO", help="only these seconds of --sound are made anew")
    add(
        "--in-order",
        action=argparse.BooleanOptionalAction,
        help="give each of several sounds its part of the time; default: for models without text encoders of their own",
    )
    add("--vocoder", metavar="FOLDER", help="what makes sound of spectra, or griffin_lim; default: beside the model")
    add("--rope", default=ROPE, help="how RoPE is scaled for longer sounds than in training, as of generate")
    add("--model", type=Path, help="file or folder, Lumina-T2Audio's too; default: the demo in the package")
    add("--text-encoder", type=Path, default=TEXT_ENCODER, metavar="FOLDER", help="LLM, for models without their own")
    add("--steps", type=int, default=20, help="default: 20")
    add("--schedule", default="uniform", help="as of generate; default: uniform")
    add("--method", default="euler", help="euler, midpoint, heun or rk4; default: euler")
    add("--cfg", type=float, default=3.0, help="guidance scale; 1 is none and takes half the time; default: 3")
    add("--seed", type=int, default=0, help="default: 0")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add("--rate", type=int, metavar="HZ", help="samples a second in the file; default: the model's, 16000")
    add("--picture", type=Path, metavar="PNG", help="also a spectrogram")
    add("-o", "--output", type=Path, help=f"{', '.join(SUFFIXES)}; default: audio.wav, or the next number")
    add("--overwrite", action="store_true", help="write over files that are there")


def run(options: argparse.Namespace) -> None:
    """Make the sound and write it. Raises ValueError or OSError, before any long work where that can be told."""
    if options.output is None:
        options.output = Path("audio.wav") if options.overwrite else numbered(Path("audio.wav"), (options.seed,))
    check_output("output", options.output, SUFFIXES, options.overwrite)
    if options.picture is not None:
        check_output("picture", options.picture, (".png",), options.overwrite)
    import torch

    from ..pipelines import Models, audio
    from ..pipelines.audio import MUSIC, SOUNDS
    from ..pipelines.sounds import check_format, codecs

    try:
        if options.output.suffix.lower() != ".wav":
            codecs(options.output.suffix)
        request = request_of(options)
    except ImportError as error:
        raise ValueError(str(error)) from error
    if options.rate is not None:
        check_format(options.output, options.rate)
    if options.model and options.music:
        raise ValueError("give --model or --music, and not both")
    dtype = None if options.dtype is None else getattr(torch, DTYPES[options.dtype])
    model = options.model or (MUSIC if options.music else SOUNDS)
    models = Models(model, options.text_encoder, dtype=dtype, device=options.device, keep=False)
    say(remarks(request, models))
    with progress_bar(True) as progress:
        made = audio(request, models, progress)
    made = made if options.rate is None else made.at(options.rate)
    if options.picture is not None:
        made.picture().save(options.picture)
    made.save(options.output)
    print(options.output)


def request_of(options: argparse.Namespace) -> "AudioRequest":
    """Return the request that options describe. Raises ValueError on what is out of range."""
    from ..options import named_values
    from ..pipelines import AudioRequest, Sampling, read_sound

    schedule, parameters = named_values("--schedule", options.schedule)
    stretch = None if options.stretch is None else two_times(options.stretch)
    return AudioRequest(
        prompt=options.prompt,
        negative=options.negative,
        seconds=options.seconds,
        seed=options.seed,
        sampling=Sampling(options.steps, schedule, parameters, options.method, options.cfg),
        sound=None if options.sound is None else read_sound(options.sound),
        denoise=options.denoise,
        stretch=stretch,
        vocoder=options.vocoder,
        rope=scaling(options.rope),
        in_order=options.in_order,
    )


def stretch_remarks(begin: float, end: float, seconds: float, given: float) -> Iterator[str]:
    """Yield a sentence where a stretch ends past a sound of so many seconds, or before what is added to a given one."""
    if begin < seconds < end - 0.005:  # half of what is told
        yield f"--stretch ends at {end:g} s, but the sound is {seconds:.2f} s long: made anew from {begin:g} s"
    if end < seconds and given < seconds - 0.005:
        yield f"--seconds is past the {given:.2f} s of --sound, and --stretch ends before: the rest is silence"


def two_times(text: str) -> tuple[float, float]:
    """Return the seconds of `--stretch FROM,TO`. Raises ValueError if they are not two numbers."""
    first, comma, second = text.partition(",")
    try:
        return float(first), float(second if comma else "")
    except ValueError:
        raise ValueError(f"--stretch wants FROM,TO in seconds, such as 1.5,3; got {text!r}") from None


def remarks(request: "AudioRequest", models: "Models") -> list[str]:
    """Return a sentence for what does nothing, and for a length past that of training."""
    models.check_family("audio")
    trained = models.config.train_seconds
    said = list(without_guidance(request.sampling.cfg, request.negative))
    given = getattr(request.sound, "seconds", trained)
    if (seconds := request.seconds or given) > trained * 1.001:
        said.append(f"{seconds:.1f} s is past the {trained:.1f} s of the model's training: time is stretched (--rope)")
    if request.stretch is not None:
        begin, end = request.stretch
        said += stretch_remarks(begin, end, seconds, given)
    return said
