"""A caption of several sounds as one conditioning, in which each part of the time has a prompt of its own."""

from ....nextdit.captions import Part, in_parts, prompt_of, read
from .regions import add_region


def encode_in_order(clip, caption: str, areas_until: float) -> tuple[list, str]:
    """Return the CONDITIONING of a caption, as `captions.in_parts` reads it, and what is heard when, in words.

    Raises ValueError without a CLIP.
    """
    if clip is None:
        raise ValueError("the checkpoint has no text encoder: connect the CLIP output of Load Lumina Audio Model")

    def encoded(text: str) -> list:
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))

    parts = in_parts(caption)
    if not parts:
        return encoded(caption), "one sound all the time"
    conditioning = encoded(prompt_of(caption).structured)
    for part in parts:
        conditioning = add_region(conditioning, encoded(part.prompt), None, False, areas_until, part.stretch)
    return conditioning, "; ".join(in_words(part) for part in parts)


def in_words(part: Part) -> str:
    """Say what is heard in a part, and when."""
    heard = " and ".join(event.sound for event in read(part.prompt))
    return f"{100 * part.stretch.begins:.0f} to {100 * part.stretch.ends:.0f} %: {heard}"
