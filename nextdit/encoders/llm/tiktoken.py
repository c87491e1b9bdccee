"""A file of byte-pair ranks in tiktoken's format, as Qwen 1 has it → a tokenizer of the `tokenizers` library."""

import base64
import binascii
from pathlib import Path
from typing import Any

from ...text_files import read_text, split_lines

QWEN_FILE = "qwen.tiktoken"
END = "<|endoftext|>"
# Qwen's words (its released code): English endings, letters, single digits, other signs, line ends, spaces.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPECIAL = (END, "<|im_start|>", "<|im_end|>", *(f"<|extra_{number}|>" for number in range(205)))


def read_qwen_tokenizer(file: Path) -> Any:
    """Return Qwen's tokenizer: byte pairs by rank, then its special tokens (151643 on, of 151643 ranks).

    ValueError names the file and the line that is no rank.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    ranks = read_ranks(file)
    letters = byte_letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    pairs = [(spelled[left], spelled[right]) for left, right in merges(ranks)]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in QWEN_SPECIAL])
    return tokenizer


def read_ranks(file: Path) -> dict[bytes, int]:
    """Return token → rank from lines of base64 and number."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(split_lines(read_text(file)), 1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ValueError(
                f"{file}, line {number} is not a token in base64 and its rank; download the file again"
            ) from error
    if sorted(ranks.values()) != list(range(len(ranks))) or not all(bytes([byte]) in ranks for byte in range(256)):
        raise ValueError(f"{file} lacks ranks or single bytes: it is not whole; download it again")
    return ranks


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Return every pair of tokens that make up a third, in the order of that one's rank, as tiktoken merges them."""
    found = []
    for token in sorted(ranks, key=ranks.__getitem__):
        halves = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        pairs = [(left, right) for left, right in halves if left in ranks and right in ranks]
        found += sorted(pairs, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return found


def byte_letters() -> dict[int, str]:
    """Return the letter that stands for each byte in byte-level vocabularies (GPT-2's released code).

    Printable bytes of Latin-1 stand for themselves, the rest for the letters from 256 on.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}
