"""Weights of an LLM as its files have them → as transformers' model has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ...files import FLOATS_OF_8_BITS, StateDict, float_dtype

# Keys that causal-LM checkpoints have and a text encoder does not need: the head, and rotary tables of old releases.
# Files of ComfyUI's kind have the tokenizer among them.
IGNORED = re.compile(r"(^|\.)((lm_head|embed_out)\.|(rotary_emb\.inv_freq|spiece_model|tokenizer_json)$)")


def without_head(weights: StateDict, prefix: str) -> StateDict:
    """Return weights under the bare model's names: causal-LM checkpoints name that part (model, transformer)."""
    part = re.compile(rf"^(model|{prefix})\.")
    return {part.sub("", key): value for key, value in weights.items() if not IGNORED.search(key)}


def converted(weights: StateDict, config: Any) -> StateDict:
    """Turn an older or unfused layout (one matrix an expert) into the bare model's, by transformers' own loading.

    What has no place in it keeps its name, so that a strict check finds it. ValueError if transformers cannot load it.
    """
    from transformers import AutoModelForCausalLM

    dtype = float_dtype(weights)
    options = {dtype_name(): torch.bfloat16 if dtype in FLOATS_OF_8_BITS else dtype}
    with torch.device("meta"):
        kind = type(AutoModelForCausalLM.from_config(config))
    try:
        with silent():
            model, told = kind.from_pretrained(
                None,
                config=config,
                state_dict=dict(weights),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except (RuntimeError, ValueError, KeyError, IndexError, OSError) as error:
        raise ValueError(f"transformers cannot load it: {' '.join(str(error).split())[:300]}") from error
    return _kept(weights, model, told)


def _kept(weights: StateDict, model: nn.Module, told: dict[str, Any]) -> StateDict:
    """Return what was really loaded of the bare model, and of the rest what no part of the model has taken."""
    prefix = f"{model.base_model_prefix}."
    mismatched = {item[0] for item in told["mismatched_keys"]}
    absent = set(told["missing_keys"]) | mismatched
    found = {
        key.removeprefix(prefix): value
        for key, value in model.state_dict().items()
        if key.startswith(prefix) and key not in absent
    }
    left = {*told["unexpected_keys"], *mismatched} & weights.keys()
    return found | {key.removeprefix(prefix): weights[key] for key in left if not IGNORED.search(key)}


def dtype_name() -> str:
    """The argument of `from_pretrained` that takes the dtype: renamed in transformers 4.56."""
    import transformers

    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


@contextmanager
def silent() -> Iterator[None]:
    """Keep transformers' progress bar and report of keys out of the log while the block runs: we check and say it."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
