"""LLM → a real ComfyUI CLIP, from a folder or from a checkpoint that holds one."""

import inspect
import json
from pathlib import Path
from typing import Any

import comfy.sd
import torch
from comfy.cli_args import args
from comfy.supported_models_base import ClipTarget

from ....nextdit.encoders.llm.files import find_llm
from ....nextdit.encoders.llm.single_file import is_single_file
from ....nextdit.encoders.llm.tokenizer import load_tokenizer
from ....nextdit.files import FLOATS_OF_8_BITS, StateDict, float_dtype, read_header
from ..host.reading import read
from .clip_model import CONFIG, OPTIONS, TOKENIZER, WEIGHTS, LLMTextModel, LLMTokenizer, to_text

WEIGHT_DTYPES = {
    "default": None,
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}
# ComfyUI's start options for text encoders, by the name of the dtype they ask for.
START_OPTIONS = {
    "fp8_e4m3fn": "fp8_e4m3fn_text_enc",
    "fp8_e5m2": "fp8_e5m2_text_enc",
    "bf16": "bf16_text_enc",
    "fp16": "fp16_text_enc",
    "fp32": "fp32_text_enc",
}


def load_clip(
    folder: str | Path,
    layer: int = -2,
    max_tokens: int = 256,
    weight_dtype: str = "default",
    device: str = "default",
    eos: bool = False,
    disable_dynamic: bool = False,
) -> comfy.sd.CLIP:
    """Load an LLM folder, a single file with its tokenizer inside, or a file of CLIPSave, as a CLIP.

    `weight_dtype` is a name of WEIGHT_DTYPES, `device` "default" or "cpu", `eos` whether an end token closes each
    prompt. FileNotFoundError or ValueError say what is missing or wrong.
    """
    again = (load_patcher, (folder, layer, max_tokens, weight_dtype, device, eos))
    options: dict[str, Any] = {}
    if device == "cpu":
        options["load_device"] = options["offload_device"] = torch.device("cpu")
    path = Path(folder)
    if is_saved_clip(path):
        clip = _load_saved(path, layer, max_tokens, weight_dtype, options, eos, disable_dynamic)
        clip.patcher.cached_patcher_init = again
        return clip
    if path.is_file() and not is_single_file(path):
        raise ValueError(
            f"{path} is no text encoder saved from this loader, and no LLM with its tokenizer inside; open text "
            "encoders of other models with Load CLIP, and give this loader the LLM's folder (config.json, tokenizer, "
            "weights)"
        )
    found = find_llm(folder)
    tokenizer = load_tokenizer(found.tokenizer, found.config, max_tokens=max_tokens, eos=eos)
    weights, _ = read(found.weights)
    dtypes = _dtypes(float_dtype(weights), weight_dtype)
    target = _target(found.config, layer, dtypes, str(found.path))
    target.tokenizer = lambda **_: LLMTokenizer(tokenizer, found.config, layer)
    options["dtype"] = dtypes[0]
    clip = _make_clip(target, {WEIGHTS + key: value for key, value in weights.items()}, options, disable_dynamic)
    clip.patcher.cached_patcher_init = again
    return clip


def _load_saved(
    file: Path,
    layer: int,
    max_tokens: int,
    weight_dtype: str,
    options: dict[str, Any],
    eos: bool,
    disable_dynamic: bool,
) -> comfy.sd.CLIP:
    """Load what CLIPSave wrote of such a CLIP: weights, config and tokenizer in one file. The loader's choices win."""
    saved, _ = read(file)
    try:
        config = json.loads(to_text(saved[CONFIG]))
        tokenizer = LLMTokenizer.from_checkpoint(tokenizer_data=saved).prompts.with_room(max_tokens, eos)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: its tokenizer or config cannot be read ({error}); save it again") from error
    weights = {key: value for key, value in saved.items() if key.startswith(WEIGHTS)}
    dtypes = _saved_dtypes(weights, weight_dtype)
    target = _target(config, layer, dtypes, str(file))
    target.tokenizer = lambda **_: LLMTokenizer(tokenizer, config, layer)
    return _make_clip(target, weights, {**options, "dtype": dtypes[0]}, disable_dynamic)


def is_saved_clip(file: Path) -> bool:
    """Whether a file is what CLIPSave writes of an LLM text encoder; only its header is read."""
    if file.suffix != ".safetensors":
        return False
    try:
        return {CONFIG, TOKENIZER, OPTIONS} <= read_header(file).keys()
    except (OSError, ValueError):
        return False


def load_patcher(
    folder: str | Path,
    layer: int,
    max_tokens: int,
    weight_dtype: str,
    device: str,
    eos: bool = False,
    disable_dynamic: bool = False,
) -> Any:
    """Load again and return the bare patcher: how ComfyUI makes a second copy (other device, no dynamic VRAM)."""
    return load_clip(folder, layer, max_tokens, weight_dtype, device, eos, disable_dynamic).patcher


def clip_target_from_state_dict(state_dict: StateDict, prefix: str = "text_encoders.") -> ClipTarget | None:
    """Return what rebuilds the LLM saved under `prefix` of a checkpoint, or None if the file holds none."""
    if prefix + CONFIG not in state_dict:
        return None
    config = json.loads(to_text(state_dict[prefix + CONFIG]))
    options = json.loads(to_text(state_dict[prefix + OPTIONS]))
    start = prefix + WEIGHTS
    weights = {key: value for key, value in state_dict.items() if key.startswith(start)}
    target = _target(config, options["layer"], _saved_dtypes(weights, "default"), "the checkpoint's text encoder")
    target.tokenizer = LLMTokenizer.from_checkpoint
    return target


def _target(config: dict[str, Any], layer: int, dtypes: tuple[torch.dtype, torch.dtype], source: str) -> ClipTarget:
    target = ClipTarget(LLMTokenizer, LLMTextModel)
    weight_dtype, rest_dtype = dtypes
    target.params = {
        "config": config,
        "layer": layer,
        "weight_dtype": weight_dtype,
        "rest_dtype": rest_dtype,
        "source": source,
    }
    return target


def _dtypes(file: torch.dtype, choice: str) -> tuple[torch.dtype, torch.dtype]:
    """Return the dtypes of Linear weights and of the rest: the choice, ComfyUI's start option, or the file's dtype."""
    if choice == "default":
        choice = next((name for name, option in START_OPTIONS.items() if getattr(args, option, False)), choice)
    weight = WEIGHT_DTYPES[choice] or file
    if weight not in FLOATS_OF_8_BITS:
        return weight, weight
    return weight, torch.bfloat16 if file in FLOATS_OF_8_BITS else file


def _saved_dtypes(weights: StateDict, choice: str) -> tuple[torch.dtype, torch.dtype]:
    """As `_dtypes` for weights saved from here, whose embedding and norms, never 8 bit, tell the dtype of the rest."""
    matrices, rest = _dtypes(float_dtype(weights), choice)
    larger = {key: value for key, value in weights.items() if value.dtype not in FLOATS_OF_8_BITS}
    return matrices, (float_dtype(larger) if matrices in FLOATS_OF_8_BITS and larger else rest)


def _make_clip(target: ClipTarget, weights: StateDict, options: dict[str, Any], disable_dynamic: bool) -> comfy.sd.CLIP:
    count = sum(tensor.numel() for tensor in weights.values())
    arguments = {"tokenizer_data": {}, "parameters": count, "model_options": options}
    known = inspect.signature(comfy.sd.CLIP.__init__).parameters
    if "state_dict" in known:
        return comfy.sd.CLIP(target, state_dict=weights, disable_dynamic=disable_dynamic, **arguments)
    clip = comfy.sd.CLIP(target, **arguments)  # before ComfyUI took the weights here
    clip.load_sd(weights, full_model=True)
    return clip
