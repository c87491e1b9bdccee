"""Text encoders of the released audio models: what the reference code computes from the checkpoint's own weights."""

import pytest
import torch

from lumina_next.nextdit.encoders.audio.text import AudioTextEncoder, bert_tokens, build_text_model, t5_tokens
from lumina_next.tests.support.audio_cases import CASES, assert_equal
from lumina_next.tests.support.reference_audio import CAPTIONS, ROWS, STRUCTURED
from lumina_next.tests.support.reference_weights import weights
from lumina_next.tests.support.untrained_audio import bert_tokenizer, t5_tokenizer


def stored(kind: str) -> dict[str, torch.Tensor]:
    """Return the reference's weights; where two keys are one table, the reference has the second's."""
    found = weights({key: tuple(shape) for key, shape in CASES["text"]["shapes"][kind].items()})
    for key in [key for key in found if key.endswith("encoder.embed_tokens.weight")]:
        found[key.replace("encoder.embed_tokens", "shared")] = found[key]
    return found


def encoder(kind: str) -> AudioTextEncoder:
    clap = bert_tokens(bert_tokenizer()) if kind == "sounds" else None
    return AudioTextEncoder(build_text_model(stored(kind)), t5_tokens(t5_tokenizer()), clap)


def test_features_of_sounds_and_music_equal_the_reference():
    features, mask = encoder("sounds")([f"{c}\n{s}" for c, s in zip(CAPTIONS, STRUCTURED, strict=True)])
    assert features.shape == (2, 154, 64) and mask is None
    assert_equal(features[:, ROWS], "text", "sounds")
    assert torch.equal(encoder("sounds")(CAPTIONS[:1])[0], features[:1])  # the structured caption is made from words
    music, _ = encoder("music")(CAPTIONS)
    assert music.shape == (2, 77, 64)
    assert_equal(music[:, ROWS], "text", "music")


def test_ids_equal_transformers():
    from transformers import PreTrainedTokenizerFast

    options = {"truncation": True, "max_length": 77, "padding": "max_length"}
    pairs = ((t5_tokenizer(), t5_tokens, "<pad>"), (bert_tokenizer(), bert_tokens, "[PAD]"))
    for tokenizer, ours, pad in pairs:
        theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)
        for text in ("", "  birds   chirping ", "rain " * 90, "A <b& all>@x", "日本 \ud83d"):
            said = text.encode("utf-8", "replace").decode()
            assert ours(tokenizer)(text)[0] == theirs(said, **options)["input_ids"]
    assert t5_tokens(t5_tokenizer())("rain " * 90)[1] == len(t5_tokenizer().encode("rain " * 90).ids) - 77


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ("t5_transformer.", "no T5 text encoder .* but caption_encoder"),
        ("t5_transformer.encoder.block.1.layer.0.SelfAttention.o", "SelfAttention.o.weight is missing"),
        ("t5_transformer.encoder.block.0.layer.0.SelfAttention.q", "q.weight is missing from the text encoder"),
        ("caption_encoder.projection.linear2", "linear2.weight is missing"),
    ],
)
def test_what_is_missing_is_named(without, says):
    kept = {key: x for key, x in stored("sounds").items() if not key.startswith(without)}
    with pytest.raises(ValueError, match=says):
        build_text_model(kept)


def test_tokenizers_of_other_models_and_none_are_refused():
    with pytest.raises(ValueError, match=r"no \[CLS\], \[SEP\]"):
        bert_tokens(t5_tokenizer())
    with pytest.raises(ValueError, match="BERT's tokenizer"):
        AudioTextEncoder(build_text_model(stored("sounds")), t5_tokens(t5_tokenizer()))
    with pytest.raises(ValueError, match="at least one"):
        encoder("music")([])


def test_either_of_a_table_s_two_names_will_do_and_what_follows_from_others_may_stay():
    found = stored("sounds")
    extra = {"caption_encoder.base.embeddings.position_ids": torch.arange(80)[None]}
    lacking = {key: x for key, x in found.items() if not key.endswith("shared.weight")} | extra
    for weights_ in (lacking, {key: x.bfloat16() for key, x in found.items()}):
        model = build_text_model(weights_)
        assert model.width == 64 and not any(x.is_meta for x in (*model.parameters(), *model.buffers()))
