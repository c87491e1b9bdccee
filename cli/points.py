"""`lumina-next points`: a prompt or a label in, a point cloud out."""

import argparse
from pathlib import Path

from ..demo import POINTS_MODEL, POINTS_TEXT_MODEL, TEXT_ENCODER
from .jobs import DTYPES, numbered, progress_bar
from .outputs import check_output
from .remarks import say, without_guidance

SUFFIXES = (".ply", ".xyz", ".npy")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("points", help="make a point cloud of any number of points from a prompt or a label")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("prompt", nargs="?", help="what to make, in any language that the text encoder knows")
    add("--label", help="a name or number that a model of labels knows, in place of a prompt")
    add("--negative", default="", metavar="TEXT", help="what to steer away from")
    add("--count", type=int, help="number of points; default: 2048, or as many as --cloud has")
    add("--cloud", type=Path, metavar="FILE", help="cloud to start from (.ply, .xyz, .txt, .csv, .pts, .obj, .npy)")
    add(
        "--keep", action="store_true", help="its points stay, and the others are made to fit: completes, or makes dense"
    )
    add("--denoise", type=float, help="how much of --cloud may change: 1 is all of it; default: 0.6, with --keep 1")
    add("--no-fit", action="store_true", help="--cloud lies in [-1, 1] already, as parts of a cloud may")
    add("--even", action="store_true", help="make twice as many points, and keep those farthest apart")
    add("--proportional", action=argparse.BooleanOptionalAction, default=True, help="attention for many points")
    add("--grain", type=float, default=0.3, help="of the noise for many points: 1 is plain noise; default: 0.3")
    add(
        "--up",
        choices=("y", "z"),
        default="y",
        help="the axis that points up, in --cloud and in the result; default: y",
    )
    add("--picture", type=Path, metavar="PNG", help="also a picture from four sides")
    add("--model", type=Path, help="Next-DiT for points; default: the demo in the package")
    add("--text-encoder", type=Path, default=TEXT_ENCODER, metavar="FOLDER", help="LLM folder; default: likewise")
    add("--steps", type=int, default=5, help="default: 5")
    add("--schedule", default="uniform", help="as of generate; default: uniform")
    add("--method", default="midpoint", help="euler, midpoint, heun or rk4; default: midpoint")
    add("--cfg", type=float, help="guidance scale; 1 is none and takes half the time; default: 2, of a label 1")
    add("--seed", type=int, default=0, help="default: 0")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add("-o", "--output", type=Path, help=".ply, .xyz or .npy; default: points.ply, or the next number if it is there")
    add("--overwrite", action="store_true", help="write over files that are there")


def run(options: argparse.Namespace) -> None:
    """Make the cloud and write it. Raises ValueError or OSError, before any long work where that can be told."""
    if (options.prompt is None) == (options.label is None):
        raise ValueError("give a prompt, or --label NAME, and not both")
    if options.output is None:
        options.output = Path("points.ply") if options.overwrite else numbered(Path("points.ply"), (options.seed,))
    check_output("output", options.output, SUFFIXES, options.overwrite)
    if options.picture is not None:
        check_output("picture", options.picture, (".png",), options.overwrite)
    import torch

    from ..nextdit.clouds.files import read_points
    from ..nextdit.clouds.shape import fit, from_upright
    from ..options import file_of, named_values
    from ..pipelines import Models, PointsRequest, Sampling, points
    from ..pipelines.points import FROM_LABELS, FROM_TEXTS

    cloud, frame = None, None
    if options.cloud is not None:
        with file_of("cloud", options.cloud):
            cloud = read_points(options.cloud)
        cloud, frame = (from_upright(cloud, options.up), None) if options.no_fit else fit(cloud, options.up)
    cfg = options.cfg if options.cfg is not None else (FROM_TEXTS if options.label is None else FROM_LABELS).cfg
    schedule, parameters = named_values("--schedule", options.schedule)
    request = PointsRequest(
        prompt=options.prompt,
        label=options.label,
        negative=options.negative,
        count=options.count,
        seeds=(options.seed,),
        sampling=Sampling(options.steps, schedule, parameters, options.method, cfg),
        cloud=cloud,
        frame=frame,
        keep=options.keep,
        denoise=options.denoise,
        even=options.even,
        proportional=options.proportional,
        grain=options.grain,
    )
    model = options.model or (POINTS_MODEL if options.prompt is None else POINTS_TEXT_MODEL)
    dtype = None if options.dtype is None else getattr(torch, DTYPES[options.dtype])
    models = Models(model, options.text_encoder, dtype=dtype, device=options.device, keep=False)
    say(without_guidance(cfg, options.negative))
    if options.no_fit and cloud is None:
        say(["--no-fit does nothing without --cloud"])
    with progress_bar(True) as progress:
        made = points(request, models, progress)[0]
    if options.picture is not None:
        made.picture().save(options.picture)
    made.save(options.output, options.up)
    print(options.output)
