"""`lumina-next generate`: a prompt in, a PNG out, its parameters in the PNG."""

import argparse
from pathlib import Path

from ..demo import MODEL, TEXT_ENCODER
from .cluster import check_ray, paint_with_ray, ray_address
from .jobs import DTYPES, ROPE, Job, models_of, numbered, progress_bar, seeds_of
from .latents import keep_latents
from .outputs import check_output
from .processes import joined, of_the_first, several
from .prompts import job_of, make_folders, read_jobs, unfinished
from .remarks import remarks, say


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
        "width, height and out; a line that begins with # is a remark; pictures that are there are skipped, so the "
        "same command goes on after a stop",
    )
    add(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="share --prompts among the GPUs of the Ray cluster at ADDRESS (auto finds it), by default of this machine",
    )
    add("--workers", type=int, metavar="N", help="how many of them work at once; default: one a GPU, or one in all")
    add("--negative", default="", metavar="TEXT", help="what to steer away from; default: nothing in particular")
    add("--model", type=Path, default=MODEL, help="Next-DiT file or folder; default: the demo in the package")
    add(
        "--text-encoder",
        type=Path,
        default=TEXT_ENCODER,
        metavar="FOLDER",
        help="LLM folder; default: the one in the package",
    )
    add("--vae", type=Path, help="SDXL VAE file or folder, for models that work on its latents")
    add(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[,STRENGTH]",
        help="LoRA, LoHa, LoKr or DoRA file of any naming, and how strongly it acts, 1 by default; may be given again",
    )
    add("--width", type=int, help="in pixels; default: the size that the model was trained on")
    add("--height", type=int, help="in pixels; default: the size that the model was trained on")
    add("--steps", type=int, default=30, help="default: 30")
    add(
        "--schedule",
        default="rational,alpha=4",
        help="uniform; rational,alpha=4; sigmoid,mu=0.7,sigma1=0.2,sigma2=0.3; default: rational,alpha=4",
    )
    add("--method", default="euler", help="euler, midpoint, heun or rk4; default: euler")
    add("--cfg", type=float, default=4.0, help="guidance scale; 1 is none and takes half the time; default: 4")
    add("--channels", type=int, help="guide only the first so many channels; 3 is what the reference code does")
    add(
        "--rope",
        help="how RoPE is scaled above the training size, NAME or NAME,key=value: auto, by the model; "
        "time_aware_late,return_from=0.8,return_to=0.9; interpolation; ntk_aware; frequency_aware; time_aware; "
        "time_aware_watershed,watershed=0.3; yarn; extrapolation; default: " + ROPE,
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
    add("--image", type=Path, metavar="FILE", help="picture to paint over")
    add("--denoise", type=float, help="how much of --image may change: 1 is all of it; default: 0.6")
    add("--train-size", type=int, help="side in pixels of the training images; default: the checkpoint's")
    add("--seed", type=int, default=0, help="default: 0")
    add("--batch", type=int, default=1, help="pictures at once, of the seeds that follow; default: 1")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--compile", action="store_true", help="by torch.compile: a minute once, then faster steps; for many pictures")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add(
        "-o",
        "--output",
        type=Path,
        help="PNG to write; default: lumina-next.png, or the next number if it is there; with --prompts the folder for "
        "them, default: lumina-next",
    )
    add("--overwrite", action="store_true", help="make pictures again that are there")


def run(options: argparse.Namespace) -> None:
    """Make the pictures and write them. Raises ValueError or OSError, before any long work where that can be told."""
    if (options.prompt is None) == (options.prompts is None):
        raise ValueError("give a prompt, or --prompts FILE, and not both")
    options = completed(options)
    check_ray(options)
    models = models_of(options)
    many = options.prompts is not None
    jobs = [job_of(one, models) for one in read_jobs(options)] if many else [Job.of(options, models)]
    check_files(options, jobs)
    waiting = unfinished(jobs) if many and not options.overwrite else jobs
    if len(waiting) < len(jobs):
        there = f"{len(jobs) - len(waiting)} of {len(jobs)} pictures are there already"
        say([f"{there}: skipped; --overwrite makes them again"])
    say(remarks(options, waiting, models))
    if options.ray is not None:
        models.device  # noqa: B018 (one that cannot be used is said here, not on every worker)
        paint_with_ray(options, waiting)
    else:
        paint(options, waiting, numbers={job.output: f"{n} of {len(jobs)}" for n, job in enumerate(jobs, 1)})


def completed(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with the defaults that depend on others. Raises ValueError as `ray_address`."""
    output = options.output or Path("lumina-next")
    if options.output is None and options.prompts is None:
        output = Path("lumina-next.png")
        if not options.overwrite:
            output = numbered(output, seeds_of(options))
    ray = None if options.ray is None else ray_address(options.ray)
    return argparse.Namespace(**{**vars(options), "output": output, "ray": ray})


def paint(options: argparse.Namespace, jobs: list[Job], numbers: dict[Path, str]) -> None:
    """Make the jobs' pictures on this machine; several processes of torchrun make each together.

    `numbers` are the words for each of many, by its file.
    """
    from ..pipelines import UndecodedError

    many = options.prompts is not None
    with joined(options.device) as reporting:
        models = models_of(options, keep=many, by_rows=several())
        for job in of_the_first(jobs):
            try:
                with progress_bar(reporting, numbers[job.output] if many else None) as progress:
                    pictures = job.paint(models, progress)
            except UndecodedError as error:
                raise ValueError(keep_latents(error, job.output) if reporting else str(error)) from error
            if reporting:
                job.write(pictures)


def check_files(options: argparse.Namespace, jobs: list[Job]) -> None:
    """Raise ValueError or OSError where pictures cannot be written; make the folder of many."""
    if options.prompts is not None:
        if options.batch != 1:
            raise ValueError("--batch goes with one prompt; in --prompts, repeat the line with another seed")
        make_folders(options.output, jobs)
        return
    check_output("output", options.output, (".png",), options.overwrite, [file for job in jobs for file in job.files])
