"""`lumina-next inspect`: what is this checkpoint?"""

import argparse
import json
import sys
from collections import Counter
from math import prod
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command and its options."""
    parser = commands.add_parser("inspect", help="say what a checkpoint is: kind, layout, architecture, dtype, size")
    parser.set_defaults(run=run)
    parser.add_argument("path", type=Path, help="file or folder; of safetensors only the header is read")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> None:
    """Print what is known of a checkpoint. Raises ValueError if it is of no known kind, or damaged."""
    facts = describe(options.path)
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items())
        sys.stdout.write(f"{name:<11}{value}\n")


def describe(path: Path) -> dict:
    """Return kind, layout, config, parameter count, dtypes and size of a checkpoint."""
    from ..nextdit.encoders.llm.files import find_llm
    from ..nextdit.files import network_file, read_header, shards

    if is_llm_folder(path):
        llm = find_llm(path)
        files, kind = shards(llm.weights), language_model(llm.config)
        header = read_header(llm.weights)
    else:
        files = shards(network_file(path))
        header = read_header(path)
        kind = network(path)
    dtypes = Counter({dtype: 0 for dtype, _ in header.values()})
    for dtype, shape in header.values():
        dtypes[dtype] += prod(shape)
    return {
        "path": str(path),
        **kind,
        "tensors": len(header),
        "parameters": sum(dtypes.values()),
        "dtypes": dict(dtypes.most_common()),
        "bytes": sum(file.stat().st_size for file in files),
    }


def is_llm_folder(path: Path) -> bool:
    """Whether a folder's text encoder is all there is to it: its config.json is transformers', or it has no network."""
    from ..nextdit.text_files import read_json

    if (path / "config.json").is_file():
        return "model_type" in read_json(path / "config.json")
    return (path / "text_encoder" / "config.json").is_file() and not (path / "transformer").is_dir()


def language_model(config: dict) -> dict:
    """Describe an LLM folder by its config.json."""
    names = {
        "width": "hidden_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "words": "vocab_size",
    }
    sizes = {ours: config[theirs] for ours, theirs in names.items() if theirs in config}
    return {"kind": f"text encoder ({config['model_type']})", "layout": "Hugging Face folder", "config": sizes}


def network(path: Path) -> dict:
    """Describe a network, VAE or relative by its tensors; ValueError if they are of nothing known, or incomplete."""
    from ..nextdit import checkpoint
    from ..nextdit.encoders.image_vae import find_prefix
    from ..nextdit.families import explain, recognise, relative
    from ..nextdit.files import read_header

    header = read_header(path)
    if recognise(header) is not None:
        about = checkpoint.describe(path)
        kind = {
            "kind": about.family.describe(about.config),
            "layout": about.found.layout.name,
            "config": about.family.summary(about.config),
        }
        return {**kind, "prefix": about.found.prefix} if about.found.prefix else kind
    prefix = find_prefix(header)
    if prefix is not None:
        layout = "diffusers" if any(".mid_block." in key for key in header) else "LDM"
        config = {"latent_channels": header[f"{prefix}decoder.conv_in.weight"][1][1]}
        return {"kind": "VAE of SDXL's kind", "layout": layout, "config": config}
    if (other := relative(header)) is not None:
        return {"kind": other}
    raise ValueError(f"{path}: {explain(header)}")
