"""Files of a decoder-only LLM folder: where they lie, and how they are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...text_files import absent, read_json
from .single_file import config_of

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "qwen.tiktoken", "vocab.json")
WEIGHT_FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)


@dataclass(frozen=True)
class LLMFolder:
    """What was found in a folder: the model's config, its weight file (or shard index), its tokenizer's folder.

    In a single file all of them are that file.
    """

    path: Path
    config: dict[str, Any]
    weights: Path
    tokenizer: Path


def find_llm(folder: str | Path) -> LLMFolder:
    """Find config, weights and tokenizer of an LLM: in Hugging Face layout, in a diffusers repository, or in one file.

    Raises FileNotFoundError naming what is missing, and ValueError for a file that does not hold all three.
    """
    path = Path(folder)
    if path.is_file():
        return LLMFolder(path, config_of(path), path, path)
    if not path.is_dir():
        raise FileNotFoundError(f"{absent(path)}; expected the folder of an LLM, or one in a single file")
    model = path if (path / "config.json").is_file() else path / "text_encoder"
    if not (model / "config.json").is_file():
        raise FileNotFoundError(
            f"{path} holds no LLM: expected config.json, or text_encoder/config.json of a diffusers repository"
        )
    return LLMFolder(path, read_json(model / "config.json"), _weight_file(model), _tokenizer_folder(path, model))


def _tokenizer_folder(path: Path, model: Path) -> Path:
    for place in (model, path / "tokenizer", model.parent / "tokenizer"):
        if any((place / name).is_file() for name in TOKENIZER_FILES):
            return place
    raise FileNotFoundError(
        f"{path} has no tokenizer: expected one of {', '.join(TOKENIZER_FILES)} beside config.json or in a folder "
        "`tokenizer`; download the model's tokenizer files (tokenizer.json, tokenizer_config.json) into it"
    )


def _weight_file(model: Path) -> Path:
    for name in WEIGHT_FILES:
        if (model / name).is_file():
            return model / name
    loose = sorted(model.glob("*.safetensors"))
    if len(loose) == 1:
        return loose[0]
    names = ", ".join(file.name for file in loose) or "none"
    raise FileNotFoundError(
        f"{model} has no weights: expected one of {', '.join(WEIGHT_FILES)}, or a single .safetensors file "
        f"(found: {names}); download the missing files"
    )
