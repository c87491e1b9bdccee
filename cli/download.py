"""`lumina-next download`: official weights into a ComfyUI's models folder, only when asked."""

import argparse
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path


@dataclass(frozen=True)
class Weights:
    """Files of a hub repository, and the folder under ComfyUI's models folder in which our workflows expect them."""

    repository: str
    files: tuple[str, ...]
    folder: str
    what: str


SFT_DIFFUSERS = "Alpha-VLLM/Lumina-Next-SFT-diffusers"
NETWORK = ("consolidated.00-of-01.safetensors",)
ENCODER = ("text_encoder/*", "tokenizer/*")
WEIGHTS = {
    "sft": Weights("Alpha-VLLM/Lumina-Next-SFT", NETWORK, "diffusion_models", "2B model, fine-tuned"),
    "t2i": Weights("Alpha-VLLM/Lumina-Next-T2I", NETWORK, "diffusion_models/Lumina-Next-T2I", "2B model, as trained"),
    "gemma-2b": Weights(SFT_DIFFUSERS, ENCODER, "text_encoders/gemma-2b", "text encoder, open to all"),
    "gemma-2b-google": Weights(
        "google/gemma-2b", ("*.json", "*.safetensors"), "text_encoders/gemma-2b", "the same from Google, gated"
    ),
    "sdxl-vae": Weights("stabilityai/sdxl-vae", ("sdxl_vae.safetensors",), "vae", "VAE"),
    "sft-diffusers": Weights(
        SFT_DIFFUSERS, ("transformer/*", *ENCODER), "diffusers/Lumina-Next-SFT-diffusers", "2B model and text encoder"
    ),
}


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    table = "\n".join(f"  {name:<16} {w.what}: {w.repository} → {w.folder}" for name, w in WEIGHTS.items())
    parser = commands.add_parser(
        "download",
        help="fetch official weights from the Hugging Face hub",
        description=f"An interrupted download goes on where it stopped.\n\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("name", choices=WEIGHTS)
    parser.add_argument("--to", type=Path, required=True, metavar="MODELS_DIR", help="ComfyUI's models folder")


def run(options: argparse.Namespace) -> None:
    """Fetch the named weights; prints each file's path. Raises ValueError or OSError that say what to do."""
    if not options.to.is_dir():
        raise FileNotFoundError(f"--to {options.to} is no folder; give ComfyUI's models folder")
    from huggingface_hub import HfApi, errors, snapshot_download

    unreachable = (OSError, getattr(errors, "HTTPError", OSError))  # of the HTTP library, which differs by version
    weights = WEIGHTS[options.name]
    target = options.to / weights.folder
    try:
        # asked for first: offline, snapshot_download takes whatever is in the folder for the whole
        found = HfApi().model_info(weights.repository)
        names = [file.rfilename for file in found.siblings or ()]
        wanted = [name for name in names if any(fnmatch(name, pattern) for pattern in weights.files)]
        if not wanted:
            raise ValueError(f"{weights.repository} no longer has {' or '.join(weights.files)}")
        snapshot_download(weights.repository, revision=found.sha, allow_patterns=wanted, local_dir=target)
        for name in wanted:
            if not (target / name).is_file():
                raise FileNotFoundError(f"{name} did not arrive")
            sys.stdout.write(f"{target / name}\n")
    except errors.GatedRepoError as error:
        raise ValueError(
            f"{weights.repository} is gated: accept its licence at https://huggingface.co/{weights.repository}, "
            "then log in with `hf auth login`"
        ) from error
    except unreachable as error:
        raise ValueError(
            f"{weights.repository} could not be fetched; the same command goes on later, or a browser does it: from "
            f"https://huggingface.co/{weights.repository}/tree/main into {target}: {error}"
        ) from error
