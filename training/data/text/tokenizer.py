"""The demo text encoder's tokenizer: BPE over every language of the data, bytes for all the rest."""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")  # in the order of Gemma's ids
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
SPACE = "▁"


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Return a case-blind byte-fallback BPE tokenizer of `size` tokens that puts BOS first, as Gemma's does."""
    draft = dressed(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*SPECIAL, *BYTES], show_progress=False, min_frequency=2
    )
    draft.train_from_iterator(texts, trainer)
    learned = json.loads(draft.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    tokenizer = dressed(models.BPE(vocab=learned["vocab"], merges=merges, byte_fallback=True, unk_token="<unk>"))
    tokenizer.add_special_tokens(list(SPECIAL))  # the bytes are plain tokens: typing "<0x41>" must not give one
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", SPECIAL.index("<bos>"))]
    )
    return tokenizer


def dressed(model: models.Model) -> Tokenizer:
    """Return a tokenizer with what goes before and after the model: lower case, words that begin with ▁."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Lowercase(),
            normalizers.Replace("\ufe0f", ""),
            normalizers.Replace(" ", SPACE),
            normalizers.Prepend(SPACE),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(SPACE, "merged_with_next")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
