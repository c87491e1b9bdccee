"""Tokenizers of the released audio models' text encoders, which the checkpoints themselves do not hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...text_files import read_text, split_lines
from ..llm.sentencepiece import SentencePieceTokenizer
from ..llm.tokenizer import parse_tokenizer

FILES = ("tokenizer.json", "spiece.model", "tokenizer.model", "vocab.txt")


@dataclass(frozen=True)
class Kind:
    """A tokenizer by the tokens that only it has, and by where it is published: `repositories`, the first to tell."""

    name: str
    tokens: tuple[str, ...]
    repositories: tuple[str, ...]


BERT = Kind("BERT", ("[CLS]", "[SEP]"), ("google-bert/bert-base-uncased", "bert-base-uncased"))
T5 = Kind("T5", ("</s>", "▁a"), ("google/flan-t5-large", "google/t5-v1_1-large", "google/flan-t5-xxl"))


def find_tokenizer(kind: Kind, homes: Iterable[Path]) -> Any:
    """Return the tokenizer of a kind from the first of these folders, or folders in them, that has one.

    Then what Hugging Face has downloaded before is looked at; nothing is downloaded. Raises FileNotFoundError, saying
    what to put where, and ValueError for a file that cannot be read.
    """
    homes = list(homes)
    for file in [*_files(homes), *_downloaded(kind)]:
        tokenizer = read_tokenizer(file)
        if all(tokenizer.token_to_id(token) is not None for token in kind.tokens):
            return tokenizer
    place = homes[0] / kind.repositories[0].rpartition("/")[2]
    raise FileNotFoundError(
        f"{kind.name}'s tokenizer is missing, which checkpoints do not hold: put tokenizer.json of "
        f"{kind.repositories[0]} (Hugging Face) into {place}"
    )


def read_tokenizer(file: Path) -> Any:
    """Read a tokenizer.json, a sentencepiece model or BERT's vocab.txt. Raises ValueError, naming the file."""
    try:
        if file.suffix == ".json":
            return parse_tokenizer(read_text(file))
        return _word_pieces(file) if file.suffix == ".txt" else SentencePieceTokenizer(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _word_pieces(file: Path) -> Any:
    """Return the tokenizer of a vocab.txt as bert-base-uncased reads its own: without case and accents."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {piece: i for i, piece in enumerate(split_lines(read_text(file)))}
    if "[UNK]" not in vocabulary:
        raise ValueError("it is no vocabulary of BERT, which has [UNK]: download it again")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _files(homes: Iterable[Path]) -> list[Path]:
    found = []
    for home in homes:
        try:
            folders = [home, *sorted(folder for folder in home.iterdir() if folder.is_dir())]
        except OSError:
            continue
        files = (next((folder / name for name in FILES if (folder / name).is_file()), None) for folder in folders)
        found += [file for file in files if file is not None]
    return found


def _downloaded(kind: Kind) -> list[Path]:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for repository in kind.repositories for name in FILES)
    return [Path(path) for path in found if isinstance(path, str)]
