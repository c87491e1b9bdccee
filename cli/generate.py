"""`lumina-next generate`: a prompt in, a PNG out, its parameters in the PNG."""

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from .options import named_values
from .processes import joined, shared

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    import torch
    from torch import Tensor

    from ..nextdit import NextDiT, RopeScaling

DEMO = Path(__file__).resolve().parents[1] / "demo"
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("generate", help="make a picture from a prompt")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("prompt", help="what to paint, in any language that the text encoder knows")
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
    add("--width", type=int, help="in pixels; default 1024, for pixel-space models 64")
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
    add("--train-size", type=int, help="side in pixels of the training images; default 1024, for pixel-space models 64")
    add("--seed", type=int, default=0)
    add("--batch", type=int, default=1, help="pictures at once, of the seeds that follow")
    add("--dtype", choices=DTYPES, help="default: the checkpoint's own")
    add("--device", help="cuda, mps, cpu, …; default: the best there is")
    add("-o", "--output", type=Path, default=Path("lumina-next.png"), help="PNG to write; default lumina-next.png")


def run(options: argparse.Namespace) -> None:
    """Make the pictures and write them. Raises ValueError or OSError, before any long work where that can be told."""
    import torch

    from .png import write_png

    channels = latent_channels(options.model)
    check(options, channels)
    side = 64 if channels == 3 else 1024
    options.width, options.height = options.width or side, options.height or side
    options.train_size = options.train_size or side
    seeds = [options.seed + i for i in range(options.batch)]
    with joined(options.device) as reporting:
        device = find_device(options.device)
        try:
            pictures = paint(options, channels, seeds, device, reporting)
        except torch.OutOfMemoryError as error:
            raise ValueError(f"{device} has too little memory for this size, batch and dtype: {error}") from error
    if not reporting:
        return
    for pixels, seed, file in zip(pictures, seeds, outputs(options.output, seeds), strict=True):
        write_png(file, pixels, parameters(options, seed))
        sys.stdout.write(f"{file}\n")


def paint(
    options: argparse.Namespace, channels: int, seeds: list[int], device: "torch.device", reporting: bool = True
) -> "Tensor":
    """Return pixels (B, 3, H, W) in about [-1, 1]; only one of text encoder, model and VAE is in memory at a time.

    `reporting` shows the progress.
    """
    import torch

    from ..nextdit import MultiViewNextDiT, load_model
    from ..nextdit.vae import SCALING, load_vae_decoder

    scale = 1 if channels == 3 else 8
    size = channels, -(-options.height // scale), -(-options.width // scale)
    # On the CPU, so that a seed means the same picture on every device.
    noise = torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    dtype = getattr(torch, DTYPES[options.dtype]) if options.dtype else None
    with torch.inference_mode():
        text, mask = encode(options, device)
        model = load_model(options.model, dtype=dtype, device=device)
        if isinstance(model, MultiViewNextDiT):
            raise ValueError(f"{options.model} draws several views of an object, not pictures: use it in ComfyUI")
        x = sample(model, noise.to(device), text, mask, options, reporting)
        del model
        if channels != 3:
            x = load_vae_decoder(options.vae, device=str(device))(x / SCALING)
    if not x.isfinite().all():
        raise ValueError("the picture has NaN or infinite values; try --dtype fp32, or bf16 instead of fp16")
    return x[:, :, : options.height, : options.width]


def latent_channels(path: Path) -> int:
    """Read from the checkpoint's header how many channels the model works on."""
    from ..nextdit.files import read_header
    from ..nextdit.keys import infer_config, model_keys

    header = read_header(path)
    try:
        return infer_config({ours: header[key][1] for key, ours in model_keys(header).items()}).in_channels
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check(options: argparse.Namespace, channels: int) -> None:
    """Raise ValueError or FileNotFoundError on options that cannot work."""
    from ..nextdit.rope import RopeScaling

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
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed must be between 0 and 2**63 - 1, got {options.seed}")
    if options.output.suffix.lower() != ".png":
        raise ValueError(f"--output must end in .png, got {options.output}")
    if not options.output.resolve().parent.is_dir():
        raise FileNotFoundError(f"the folder of --output does not exist: {options.output.resolve().parent}")
    if options.vae is not None and not options.vae.exists():
        raise FileNotFoundError(f"--vae {options.vae} does not exist")
    grid(options)
    scaling(options, (1, 1), RopeScaling.train_tokens)


def find_device(name: str | None) -> "torch.device":
    """Return the named device, or else the accelerator that torch sees, or the CPU. Raises ValueError."""
    import torch

    if name is None:
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {name} cannot be used here: {str(error).splitlines()[0]}") from error


def grid(options: argparse.Namespace) -> "Tensor":
    """Return the times of `--schedule NAME,key=value,…` and `--steps`, after a check of `--method`."""
    from ..samplers import stages, times

    stages(options.method)
    name, values = named_values("--schedule", options.schedule)
    return times(name, options.steps, **values)


def scaling(options: argparse.Namespace, tokens: tuple[int, int], train_tokens: int) -> "RopeScaling":
    """Return the scaling of `--rope NAME,key=value,…` for an image of rows and columns of tokens. Raises ValueError."""
    from ..nextdit.rope import RopeScaling, scale_factor

    name, values = named_values("--rope", options.rope)
    if unknown := values.keys() - {"watershed", "return_from", "return_to"}:
        raise ValueError(f"--rope knows watershed, return_from and return_to, got {', '.join(sorted(unknown))}")
    return RopeScaling(name, scale_factor(tokens, train_tokens), train_tokens, **values)


def encode(options: argparse.Namespace, device: "torch.device") -> tuple["Tensor", "Tensor"]:
    """Return features (1 or 2, L, D) and mask of the prompt and, with guidance, of the negative one."""
    from ..nextdit.text import load_text_encoder

    encoder = load_text_encoder(options.text_encoder, device=device)
    return encoder([options.prompt] if options.cfg == 1 else [options.prompt, options.negative])


def sample(
    model: "NextDiT",
    noise: "Tensor",
    text: "Tensor",
    mask: "Tensor",
    options: argparse.Namespace,
    reporting: bool = True,
) -> "Tensor":
    """Follow the flow from noise (B, C, h, w) to data; both halves of the guidance run in one batch."""
    from tqdm import tqdm

    from ..samplers import guide, integrate

    times = grid(options)
    width = model.config.patch_size * (1 if noise.shape[1] == 3 else 8)  # of a token, in pixels
    tokens = -(-options.height // width), -(-options.width // width)
    rope = scaling(options, tokens, round(options.train_size / width))
    network = shared(model)
    text, mask = (part.repeat_interleave(len(noise), dim=0) for part in (text, mask))  # (B or 2B, L, …)

    def velocity(x: "Tensor", t: "Tensor") -> "Tensor":
        if options.cfg == 1:
            return network(x, t.expand(len(x)).to(x.device), text, mask, rope=rope)
        both = network(x.repeat(2, 1, 1, 1), t.expand(2 * len(x)).to(x.device), text, mask, rope=rope)
        return guide(*both.chunk(2), options.cfg, options.channels)

    with tqdm(total=options.steps, unit="step", disable=not reporting) as bar:
        return integrate(velocity, noise, times, options.method, on_step=lambda *_: bar.update())


def outputs(file: Path, seeds: list[int]) -> list[Path]:
    """Name the files: as given, or with the seed appended when there are several."""
    return [file] if len(seeds) == 1 else [file.with_name(f"{file.stem}-{seed}{file.suffix}") for seed in seeds]


def parameters(options: argparse.Namespace, seed: int) -> dict:
    """Return all that made a picture, for its metadata; of paths only the last part, which names no home folder."""
    chosen = {key: value for key, value in vars(options).items() if key not in ("run", "output", "batch", "device")}
    chosen = {key: value.name if isinstance(value, Path) else value for key, value in chosen.items()}
    versions = {"python": platform.python_version()}
    for package in ("lumina-next", "torch", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            versions[package] = "not installed"
    return {**chosen, "seed": seed, "versions": versions}
