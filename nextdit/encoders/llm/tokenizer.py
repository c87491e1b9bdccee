"""Prompts to token ids, for any LLM whose tokenizer the `tokenizers` library can express."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...text_files import decode, read_json, read_text
from .sentencepiece import SentencePieceTokenizer, is_sentencepiece
from .single_file import read_tokenizer
from .tiktoken import END, QWEN_FILE, read_qwen_tokenizer

PARTS = (
    "vocab.json",
    "merges.txt",
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True)
class Encoding:
    """Token ids of one prompt, special tokens included, and how many tokens of the prompt were cut."""

    ids: list[int]
    cut: int


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the special tokens; `bos` is None for families that have none (Qwen)."""

    bos: int | None
    eos: int | None
    pad: int

    def __post_init__(self):
        if self.pad < 0:
            raise ValueError(f"pad token id is {self.pad}, expected 0 or more")


class PromptTokenizer:
    """Tokens of a prompt as the text encoder wants them: BOS first, EOS only if asked for, cut at `max_tokens`.

    `tokenizer` is a `tokenizers.Tokenizer` or a SentencePieceTokenizer. `max_tokens` counts the special tokens, as in
    transformers. ValueError if it leaves no room for the prompt.
    """

    def __init__(self, tokenizer: Any, special: SpecialTokens, *, max_tokens: int = 256, eos: bool = False):
        if eos and special.eos is None:
            raise ValueError("eos was asked for, but this tokenizer has no end-of-sequence token; leave it out")
        self.head = [] if special.bos is None else [special.bos]
        self.tail = [special.eos] if eos and special.eos is not None else []
        self.room = max_tokens - len(self.head) - len(self.tail)
        if self.room < 1:
            taken = len(self.head) + len(self.tail)
            raise ValueError(
                f"max_tokens is {max_tokens}, of which special tokens take {taken}; expected at least {taken + 1}"
            )
        self.special, self.max_tokens, self.eos = special, max_tokens, eos
        self.tokenizer = tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    def with_room(self, max_tokens: int, eos: bool | None = None) -> "PromptTokenizer":
        """Return the same tokenizer with another limit, and with EOS or without, None for as it is."""
        return PromptTokenizer(
            self.tokenizer, self.special, max_tokens=max_tokens, eos=self.eos if eos is None else eos
        )

    def encode(self, prompt: str) -> Encoding:
        """Tokenize one prompt; the end is cut, never the special tokens."""
        text = prompt.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be tokenized
        words = self.tokenizer.encode(text, add_special_tokens=False).ids
        ids = self.head + words[: self.room] + self.tail
        # A family without BOS has no token at all for the empty prompt, and a model needs one.
        return Encoding(ids or [self.special.pad], max(0, len(words) - self.room))

    def batch(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
        """Tokenize prompts, padded on the right to the longest: ids (B, L), mask (B, L) of 0 and 1, tokens cut."""
        if not prompts:
            raise ValueError("no prompt was given, expected a list of at least one string (it may be empty)")
        encodings = [self.encode(prompt) for prompt in prompts]
        length = max(len(item.ids) for item in encodings)
        ids = torch.full((len(prompts), length), self.special.pad, dtype=torch.long)
        mask = torch.zeros((len(prompts), length), dtype=torch.long)
        for row, item in enumerate(encodings):
            ids[row, : len(item.ids)] = torch.tensor(item.ids)
            mask[row, : len(item.ids)] = 1
        return ids, mask, [item.cut for item in encodings]


def parse_tokenizer(source: str) -> Any:
    """Build a tokenizer from the text of a tokenizer.json, or of a sentencepiece model's `to_str`; or ValueError."""
    from tokenizers import Tokenizer

    if is_sentencepiece(source):
        return SentencePieceTokenizer.from_str(source)
    try:
        return Tokenizer.from_str(source)
    except Exception as error:  # the library raises plain Exception
        raise ValueError(f"tokenizer.json cannot be read ({error}); download it again") from error


def load_tokenizer(
    folder: Path, config: dict[str, Any], *, max_tokens: int = 256, eos: bool = False
) -> PromptTokenizer:
    """Read the tokenizer of an LLM folder or file; `config` is the model's, for special ids as a last resort."""
    try:
        if folder.is_file():
            tokenizer, special = _from_file(folder, config)
            return PromptTokenizer(tokenizer, special, max_tokens=max_tokens, eos=eos)
        tokenizer = _read(folder)
        return PromptTokenizer(tokenizer, _special_tokens(folder, config, tokenizer), max_tokens=max_tokens, eos=eos)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _from_file(file: Path, config: dict[str, Any]) -> tuple[Any, SpecialTokens]:
    """Read the tokenizer inside a single file, and its special tokens as it or the config has them."""
    name, content = read_tokenizer(file)
    tokenizer = SentencePieceTokenizer(content) if name == "spiece_model" else parse_tokenizer(decode(content, name))

    def find(kind: str) -> int | None:
        number = config.get(f"{kind}_token_id", tokenizer.token_to_id(f"<{kind}>"))
        return next(iter(number), None) if isinstance(number, list) else number

    bos, eos, pad = find("bos"), find("eos"), find("pad")
    return tokenizer, SpecialTokens(bos, eos, pad if pad is not None else eos or 0)


def _read(folder: Path) -> Any:
    if (folder / "tokenizer.json").is_file():
        return parse_tokenizer(read_text(folder / "tokenizer.json"))
    if (folder / "tokenizer.model").is_file():
        return SentencePieceTokenizer((folder / "tokenizer.model").read_bytes())
    if (folder / QWEN_FILE).is_file():
        return read_qwen_tokenizer(folder / QWEN_FILE)
    return _read_parts(folder)


def _read_parts(folder: Path) -> Any:
    """Read vocab.json and merges.txt, which transformers knows to put together but reads without a byte order mark."""
    from transformers import AutoTokenizer

    with TemporaryDirectory() as plain:
        for file in folder.iterdir():
            if file.name in PARTS:
                (Path(plain) / file.name).write_text(read_text(file), encoding="utf-8", newline="\n")
        try:
            return AutoTokenizer.from_pretrained(plain, trust_remote_code=False).backend_tokenizer
        except (ValueError, OSError, ImportError, AttributeError, KeyError, TypeError) as error:
            said = str(error).replace(plain, str(folder))
            raise ValueError(
                f"transformers cannot read the tokenizer ({said}); add the model's tokenizer.json"
            ) from error


def _special_tokens(folder: Path, config: dict[str, Any], tokenizer: Any) -> SpecialTokens:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings.update(read_json(folder / name))

    def find(kind: str) -> int | None:
        if f"{kind}_token" in settings:
            token = settings[f"{kind}_token"]
            token = token.get("content") if isinstance(token, dict) else token
            if not isinstance(token, str | None):
                raise ValueError(f"{kind}_token of tokenizer_config.json is {token!r}, expected text or null")
            return None if token is None else tokenizer.token_to_id(token)
        number = config.get(f"{kind}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        if not isinstance(number, int | None):
            raise ValueError(f"{kind}_token_id of config.json is {number!r}, expected a whole number")
        return number

    bos, eos, pad = find("bos"), find("eos"), find("pad")
    if eos is None and not (folder / "tokenizer.json").is_file():
        eos = tokenizer.token_to_id(END)  # Qwen 1 says so in its code only
    if settings.get("add_bos_token") is False:
        bos = None
    if pad is None:
        pad = eos if eos is not None else 0
    return SpecialTokens(bos, eos, pad)
