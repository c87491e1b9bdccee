"""Reading a LoRA from disk: the tensors, and the alpha that PEFT and diffusers keep beside them."""

import json
import math
from pathlib import Path

from torch import Tensor

from ....nextdit.files import read_metadata, read_weights

PEFT_CONFIG = "adapter_config.json"
DIFFUSERS_METADATA = "lora_adapter_metadata"


def read_lora(file: str | Path) -> tuple[dict[str, Tensor], float | None]:
    """Return the tensors of a LoRA file, and the alpha for all that its metadata or PEFT's config beside it says.

    None stands for no such word. Raises ValueError if the file is damaged or gives each module an alpha of its own.
    """
    file = Path(file)
    weights = read_weights(file)
    beside = file.parent / PEFT_CONFIG
    if file.name.startswith("adapter_model") and beside.is_file():
        return weights, _alpha(json.loads(beside.read_text(encoding="utf-8")), str(beside))
    text = (read_metadata(file) or {}).get(DIFFUSERS_METADATA)
    if text is None:
        return weights, None
    said = {key.removeprefix("transformer."): value for key, value in json.loads(text).items()}
    return weights, _alpha(said, str(file))


def _alpha(config: dict, source: str) -> float | None:
    if config.get("alpha_pattern"):
        raise ValueError(
            f"{source} gives modules an alpha of their own (alpha_pattern), which is not supported; merge the LoRA "
            "with PEFT, or save it again with an alpha tensor beside each module"
        )
    alpha, rank = config.get("lora_alpha"), config.get("r")
    if alpha is None:
        return None
    # rank-stabilised LoRA divides by the root of the rank (arXiv 2312.03732)
    return alpha * math.sqrt(rank) if config.get("use_rslora") and rank else float(alpha)
