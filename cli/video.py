"""`lumina-next video`: a prompt, an image or a clip in, a clip out."""

import argparse
from pathlib import Path

from ..demo import TEXT_ENCODER, VIDEO_MODEL
from .jobs import DTYPES, ROPE, numbered, progress_bar, read_image, scaling
from .outputs import check_output
from .remarks import say, without_guidance

SUFFIXES = (".mp4", ".webp", ".gif")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("video", help="make a clip from a prompt, from its first and last frame, or a clip")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("prompt", nargs="?", default="", help="what moves and how, in any language that the text encoder knows")
    add("--then", action="append", default=[], metavar="TEXT", help="what comes after it; as often as you like")
    add("--negative", default="", metavar="TEXT", help="what to steer away from")
    add("--image", type=Path, metavar="FILE", help="the first frame")
    add("--last-image", type=Path, metavar="FILE", help="the last frame; what is between is drawn")
    add("--clip", type=Path, metavar="FILE", help="clip to draw anew (.mp4, .webp, .gif, …)")
    add("--denoise", type=float, help="how much of --clip may change: 1 is all of it; default: 0.6")
    add("--frames", type=int, help="default: as many as in training, or as --clip has")
    add("--width", type=int, help="default: as in training, or of --clip")
    add("--height", type=int, help="default: likewise")
    add("--fps", type=float, help="frames a second in the file; default: 8, or those of --clip")
    add("--rope", default=ROPE, help="how RoPE is scaled for more frames or pixels than in training, as of generate")
    add("--window", type=int, metavar="FRAMES", help="how many frames each frame attends to; default: all")
    add("--model", type=Path, default=VIDEO_MODEL, help="Next-DiT for video; default: the demo in the package")
    add("--text-encoder", type=Path, default=TEXT_ENCODER, metavar="FOLDER", help="LLM folder; default: likewise")
    add("--vae", type=Path, metavar="FILE", help="VAE, for models of latents")
    add("--steps", type=int, default=10, help="default: 10")
    add("--schedule", default="uniform", help="as of generate; default: uniform")
    add("--method", default="euler", help="euler, midpoint, heun or rk4; default: euler")
    add("--cfg", type=float, default=2.0, help="guidance scale; 1 is none and takes half the time; default: 2")
    add("--seed", type=int, default=0, help="default: 0")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add("-o", "--output", type=Path, help=".mp4, .webp or .gif; default: video.mp4, or the next number if it is there")
    add("--overwrite", action="store_true", help="write over a file that is there")


def run(options: argparse.Namespace) -> None:
    """Make the clip and write it. Raises ValueError or OSError, before any long work where that can be told."""
    if options.output is None:
        options.output = Path("video.mp4") if options.overwrite else numbered(Path("video.mp4"), (options.seed,))
    check_output("output", options.output, SUFFIXES, options.overwrite)
    import torch

    from ..options import named_values
    from ..pipelines import Models, Sampling, VideoRequest, read_clip, video
    from ..pipelines.clips import check_fps, pyav

    try:
        if options.output.suffix.lower() == ".mp4":
            pyav()
        clip, fps = (None, 0.0) if options.clip is None else read_clip(options.clip)
    except ImportError as error:
        raise ValueError(str(error)) from error
    schedule, parameters = named_values("--schedule", options.schedule)
    request = VideoRequest(
        prompt=options.prompt,
        negative=options.negative,
        image=None if options.image is None else read_image(options.image),
        last_image=None if options.last_image is None else read_image(options.last_image, "last_image"),
        clip=clip,
        denoise=options.denoise,
        frames=options.frames,
        width=options.width,
        height=options.height,
        fps=(fps or VideoRequest.fps) if options.fps is None else options.fps,
        seed=options.seed,
        sampling=Sampling(options.steps, schedule, parameters, options.method, options.cfg),
        rope=scaling(options.rope),
        window=options.window,
        then=options.then,
    )
    check_fps(options.output, request.fps)
    dtype = None if options.dtype is None else getattr(torch, DTYPES[options.dtype])
    models = Models(options.model, options.text_encoder, options.vae, dtype=dtype, device=options.device, keep=False)
    say(without_guidance(options.cfg, options.negative))
    with progress_bar(True) as progress:
        made = video(request, models, progress)
    made.save(options.output)
    print(options.output)
