"""A sentencepiece model with the face of `tokenizers.Tokenizer`, for LLMs without tokenizer.json (InternLM)."""

import base64
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Ids:
    """Token ids of a text, under the name that `tokenizers` gives them."""

    ids: list[int]


class SentencePieceTokenizer:
    """Wraps the bytes of a tokenizer.model; ValueError if they are none. Special tokens in a text are text."""

    def __init__(self, model: bytes):
        try:
            import sentencepiece
        except ImportError as error:
            raise ValueError("tokenizer.model needs the package sentencepiece: pip install sentencepiece") from error
        try:
            self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"tokenizer.model is not a sentencepiece model ({error}); download it again") from error
        self.model = model

    @classmethod
    def from_str(cls, source: str) -> "SentencePieceTokenizer":
        """Undo `to_str`."""
        return cls(base64.b64decode(json.loads(source)["sentencepiece"]))

    def to_str(self) -> str:
        """Return the model as JSON, which stands where others have the text of tokenizer.json."""
        return json.dumps({"sentencepiece": base64.b64encode(self.model).decode("ascii")})

    def encode(self, text: str, add_special_tokens: bool = False) -> Ids:
        """Tokenize; the caller adds special tokens."""
        return Ids(self.processor.encode(text))

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        """Return the text of ids."""
        return self.processor.decode(list(ids))

    def token_to_id(self, token: str) -> int | None:
        """Return the id of a piece, None if there is none."""
        number = self.processor.piece_to_id(token)
        return None if number == self.processor.unk_id() and token != self.id_to_token(number) else number

    def id_to_token(self, number: int) -> str:
        """Return the piece of an id."""
        return self.processor.id_to_piece(number)

    def no_truncation(self) -> None:
        """Nothing to do: sentencepiece never cuts."""

    def no_padding(self) -> None:
        """Nothing to do: sentencepiece never pads."""


def is_sentencepiece(source: str) -> bool:
    """Whether `source` is what `to_str` returns."""
    return source.startswith('{"sentencepiece"')
