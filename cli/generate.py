"""`lumina-next generate`: a prompt in, a PNG out, its parameters in the PNG."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .cluster import check_ray, paint_with_ray, ray_address
from .latents import UndecodedError, keep_latents
from .painting import DTYPES, Studio, dropping, find_device, grid, scaling, seeds
from .processes import agreed, joined
from .prompts import check_folder, read_jobs, unfinished

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from torch import Tensor

    from ..nextdit.checkpoint import Description

NOT_TOLD = ("run", "output", "batch", "device", "prompts", "ray", "workers")  # they do not change the picture
DEMO = Path(__file__).resolve().parents[1] / "demo"


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("generate", help="make a picture from a prompt, or many from a file")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("prompt", nargs="?", help="what to paint, in any language that the text encoder knows")
    add(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="many pictures: a prompt a line, or a JSON object a line with prompt and, as wanted, negative, seed, "
        "width, height and out; pictures that are there are skipped, so the same command goes on after a stop",
    )
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="share --prompts among the GPUs of the Ray cluster at ADDRESS (auto finds it), by default of this machine",
    )
    add("--workers", type=int, metavar="N", help="how many of them work at once; default: one a GPU, or one in all")
    add("--negative", default="", metavar="TEXT", help="what to steer away from")
    model = DEMO / "diffusion_models" / "lumina-next-demo.safetensors"
    add("--model", type=Path, default=model, help="Next-DiT file or folder; default: the demo in the package")
    encoder = DEMO / "text_encoders" / "lumina-next-demo"
    add(
        "--text-encoder",
        type=Path,
        default=encoder,
        metavar="FOLDER",
        help="LLM folder; default: the one in the package",
    )
    add("--vae", type=Path, help="SDXL VAE file or folder, for models that work on its latents")
    add("--width", type=int, help="in pixels; default: the size that the model was trained on")
    add("--height", type=int, help="likewise")
    add("--steps", type=int, default=30)
    add(
        "--schedule", default="rational,alpha=4", help="uniform; rational,alpha=4; sigmoid,mu=0.7,sigma1=0.2,sigma2=0.3"
    )
    add("--method", default="euler", help="euler, midpoint, heun or rk4")
    add("--cfg", type=float, default=4.0, help="guidance scale; 1 is none and takes half the time")
    add("--channels", type=int, help="guide only the first so many channels; 3 is what the reference code does")
    add(
        "--rope",
        default="time_aware_late",
        help="how RoPE is scaled above the training size, NAME or NAME,key=value: "
        "time_aware_late,return_from=0.8,return_to=0.9; interpolation; ntk_aware; frequency_aware; time_aware; "
        "time_aware_watershed,watershed=0.3; extrapolation",
    )
    add(
        "--context-drop",
        metavar="FADE",
        help="average keys and values over windows of tokens: linear (in fewer layers as the picture emerges) or none "
        "(in all layers always), FADE or FADE,key=value: linear,window=2,start=0,end=1",
    )
    add(
        "--second-pass",
        type=float,
        metavar="DENOISE",
        help="above the training size: paint at that size, enlarge, and paint over with this much of the noise and "
        "of the steps, 0.3 for example; quicker than one pass",
    )
    add("--train-size", type=int, help="side in pixels of the training images; default: the checkpoint's")
    add("--seed", type=int, default=0)
    add("--batch", type=int, default=1, help="pictures at once, of the seeds that follow")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add(
        "-o",
        "--output",
        type=Path,
        help="PNG to write, default lumina-next.png; with --prompts the folder for them, default lumina-next",
    )


def run(options: argparse.Namespace) -> None:
    """Make the pictures and write them. Raises ValueError or OSError, before any long work where that can be told."""
    if (options.prompt is None) == (options.prompts is None):
        raise ValueError("give a prompt, or --prompts FILE, and not both")
    options.ray = None if options.ray is None else ray_address(options.ray)
    check_ray(options)
    from ..nextdit.checkpoint import check_family, describe

    model = describe(options.model)
    check_family(model.family, "image")
    options.output = options.output or Path("lumina-next.png" if options.prompts is None else "lumina-next")
    jobs = [options] if options.prompts is None else read_jobs(options)
    for job in jobs:
        check(job, model.config.in_channels)
    side = native_side(options, model)
    check_files(options, jobs)
    for job in jobs:
        job.width, job.height, job.train_size = job.width or side, job.height or side, side
    if options.ray is not None:
        find_device(options.device)
        paint_with_ray(options, unfinished(jobs))
        return
    with joined(options.device) as reporting:
        device = find_device(options.device)
        jobs = jobs if options.prompts is None else agreed(unfinished(jobs))
        studio = Studio(options, device, keep=options.prompts is not None)
        for job in jobs:
            try:
                pictures = studio.paint(job, reporting)
            except UndecodedError as error:
                raise ValueError(keep_latents(error, job.output) if reporting else str(error)) from error
            if reporting:
                write(pictures, job)


def write(pictures: "Tensor | list[Tensor]", job: argparse.Namespace, out: TextIO | None = None) -> None:
    """Write a job's pictures (3, H, W) and print their files to `out`, by default the standard output."""
    from .png import write_png

    for pixels, seed, file in zip(pictures, seeds(job), outputs(job.output, seeds(job)), strict=True):
        write_png(file, pixels, parameters(job, seed))
        print(file, file=out, flush=True)


def native_side(options: argparse.Namespace, model: "Description") -> int:
    """Return the side in pixels of the largest square that the model draws without scaling; ValueError if unknown."""
    from ..nextdit.train_size import native_size, train_tokens

    config = model.config
    pixels = config.patch_size * (1 if config.in_channels == 3 else 8)
    native, asked = model.family.native(config), options.train_size or 0
    try:
        size = native_size(native, pixels, train_tokens(model.metadata), asked, "--train-size")
    except ValueError as error:
        raise ValueError(f"{options.model}: {error}") from error
    return asked or size.tokens * pixels


def check(options: argparse.Namespace, channels: int) -> None:
    """Raise ValueError or FileNotFoundError on options that cannot work."""
    from ..nextdit.layers.rope_scaling import RopeScaling

    if channels not in (3, 4):
        raise ValueError(f"{options.model} works on {channels} channels; only 3 (pixels) and 4 (SDXL) can be decoded")
    if channels == 4 and options.vae is None:
        raise ValueError(
            f"{options.model} makes latents, which need --vae: an SDXL VAE (lumina-next download sdxl-vae)"
        )
    if channels == 3 and options.vae is not None:
        raise ValueError(f"{options.model} paints pixels and takes no --vae")
    for name in ("width", "height", "batch", "train_size"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if options.channels is not None and not 1 <= options.channels <= channels:
        raise ValueError(f"--channels must be between 1 and the model's {channels}, got {options.channels}")
    if options.second_pass is not None and not 0 < options.second_pass < 1:
        raise ValueError(f"--second-pass must be between 0 and 1, got {options.second_pass:g}")
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed must be between 0 and 2**63 - 1, got {options.seed}")
    if options.vae is not None and not options.vae.exists():
        raise FileNotFoundError(f"--vae {options.vae} does not exist")
    grid(options)
    scaling(options, (1, 1), RopeScaling.train_tokens)
    dropping(options)


def check_files(options: argparse.Namespace, jobs: list[argparse.Namespace]) -> None:
    """Raise ValueError or FileNotFoundError where pictures cannot be written; make the folder of many."""
    if options.prompts is not None:
        if options.batch != 1:
            raise ValueError("--batch goes with one prompt; in --prompts, repeat the line with another seed")
        check_folder(options.output, jobs)
        return
    if options.output.suffix.lower() != ".png":
        raise ValueError(f"--output must end in .png, got {options.output}")
    if not options.output.resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of --output does not exist: {options.output.resolve().parent}")


def outputs(file: Path, seeds: list[int]) -> list[Path]:
    """Name the files: as given, or with the seed appended when there are several."""
    return [file] if len(seeds) == 1 else [file.with_name(f"{file.stem}-{seed}{file.suffix}") for seed in seeds]


def parameters(options: argparse.Namespace, seed: int) -> dict:
    """Return all that made a picture, for its metadata; of paths only the last part, which names no home folder."""
    chosen = {key: value for key, value in vars(options).items() if key not in NOT_TOLD}
    chosen = {key: value.name if isinstance(value, Path) else value for key, value in chosen.items()}
    versions = {"python": platform.python_version()}
    for package in ("lumina-next", "torch", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "not installed"
    return {**chosen, "seed": seed, "versions": versions}
