"""The same pictures by diffusers' LuminaPipeline, its seconds split as ComfyUI's."""

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def build(folder: Path, vae_file: Path, device: torch.device):
    """Return a LuminaPipeline on the repository's network and text encoder and the VAE of a file."""
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, LuminaNextDiT2DModel, LuminaPipeline
    from transformers import AutoTokenizer, GemmaModel

    weights = load_file(vae_file)
    widths = [weights[f"decoder.up_blocks.{3 - i}.resnets.0.conv1.weight"].shape[0] for i in range(4)]
    vae: Any = AutoencoderKL(
        block_out_channels=tuple(widths),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    # files without an encoder do: only decoding is timed, and untrained weights stand in for it
    untimed = {k: w for k, w in vae.state_dict().items() if k.startswith(("encoder.", "quant_conv."))}
    vae.load_state_dict(untimed | weights)
    dtype = torch.bfloat16
    pipeline: Any = LuminaPipeline(
        transformer=LuminaNextDiT2DModel.from_pretrained(folder / "transformer", torch_dtype=dtype),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.to(dtype),
        text_encoder=GemmaModel.from_pretrained(folder / "text_encoder", dtype=dtype),
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
    )
    return pipeline.to(device)


def timed(owner: Any, name: str, part: str, found: dict[str, float], device: torch.device) -> None:
    """Make a method of one object add its seconds to found[part]."""
    method = getattr(owner, name)

    def measure(*args, **kwargs):
        start = time.perf_counter()
        out = method(*args, **kwargs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found[part] += time.perf_counter() - start
        return out

    setattr(owner, name, measure)


def measure(
    folder: Path,
    vae_file: Path,
    sizes: list[tuple[int, int]],
    steps: int,
    rounds: int,
    device: torch.device,
    size_of: Callable[[int, int], dict[str, Any]],
    columns: Sequence[str],
) -> list[dict[str, Any]]:
    """Return one row a size: the medians of `rounds` runs, and what building the pipeline took on the first."""
    start = time.perf_counter()
    pipeline = build(folder, vae_file, device)
    loading = time.perf_counter() - start
    pipeline.set_progress_bar_config(disable=True)
    found = dict.fromkeys(columns, 0.0)
    timed(pipeline, "encode_prompt", "text", found, device)
    timed(pipeline.transformer, "forward", "steps", found, device)
    timed(pipeline.vae, "decode", "decode", found, device)
    rows: list[dict[str, Any]] = []
    for width, height in sizes:
        runs = []
        for i in range(rounds + 1):
            found.update(dict.fromkeys(columns, 0.0))
            start = time.perf_counter()
            prompt = f"a red fox, number {i}"
            pipeline(prompt, width=width, height=height, num_inference_steps=steps, guidance_scale=4.0)
            runs.append(found | {"whole": time.perf_counter() - start})
        medians = {key: statistics.median(run[key] for run in runs[1:]) for key in runs[0]}
        if not rows:
            medians["loading"] = loading
        rows.append({"with": "diffusers", **size_of(width, height), **medians})
    return rows
