"""Structured captions of sounds, `<birds chirping& start>@<dog barking& end>`: which sound when (paper equation 5).

Lumina-T2Audio was trained on a caption and on this form of it side by side, written by a large language model. Here
they are written by hand, or from English sentences by rules that say what they do.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .stretch import Stretch

WHEN = ("all", "start", "mid", "end")
"""When a sound is heard: throughout, or in a third of the recording."""

EVENT = re.compile(r"<([^<>&]*?)[&,]\s*(all|start|mid|middle|end)\s*>", re.IGNORECASE)
# What says in a sentence that the next sound comes later, longest first: the words go.
LATER = re.compile(
    r"[,;.]?\s+(?:and\s+)?(?:(?:is\s+|are\s+)?followed (?:\w+ )?by|after which|afterwards?|and finally|finally|"
    r"and then|then|before|until)\b[,:]?\s+|[,;.]\s+(?:next|later)\b[,]?\s+",
    re.IGNORECASE,
)
# What says that the sound behind it comes first.
EARLIER = re.compile(r",?\s+(?:right |just |shortly |soon )?after\s+(?!which|that|a while|all|hours|\d)", re.IGNORECASE)
# What joins sounds that are heard together; "and" does where more than a word stands behind it.
TOGETHER = re.compile(
    r"[,;]?\s+(?:as|while|whilst|with|accompanied by|along with|alongside|amid)\s+|([,;])\s+(?:and\s+)?|"
    r"\s+and\s+(?=(?:an?\s+|the\s+)?[^\s,;]+\s+(?!(?:and|as|while|whilst|with)\b)[^\s,;]+)",
    re.IGNORECASE,
)
# What says when a sound is heard: these words go too.
TIMES = {
    "start": r"(?:at|in|from) the (?:very )?(?:start|beginning)|at first|to begin with|^first(?:ly)?\b",
    "mid": r"in the middle|mid-?way(?: through)?|halfway(?: through)?",
    "end": r"(?:at|in|towards?) the (?:very )?end|at last|^finally\b|^eventually\b|^lastly\b",
    "all": r"throughout|(?:all|the whole) (?:the )?time|the whole (?:scene|time)|in the background|from start to end",
}
LASTING = re.compile(r"\b(?:constant|continuous|ongoing|steady|continual)(?:ly)?\b", re.IGNORECASE)
ARTICLE = re.compile(r"^(?:(?:and|a|an|the|there (?:is|are)|some)\s+)+", re.IGNORECASE)


@dataclass(frozen=True)
class Event:
    """A sound, and when it is heard, one of WHEN. Raises ValueError for another time, and without a sound."""

    sound: str
    when: str = "all"

    def __post_init__(self):
        if self.when not in WHEN:
            raise ValueError(f"a sound is heard {', '.join(WHEN[:-1])} or {WHEN[-1]}, got {self.when!r}")
        if not clean(self.sound):
            raise ValueError("a sound of a structured caption is empty; name what is heard")


@dataclass(frozen=True)
class Prompt:
    """A caption and its structured form, both empty for no prompt at all."""

    caption: str
    structured: str


def clean(text: str) -> str:
    """Return a text without what structured captions are written with, and with single spaces."""
    return re.sub(r"[<>&@\s]+", " ", text).strip(" ,;.")


def write(events: Iterable[Event]) -> str:
    """Return events as a structured caption, in their order."""
    return "@".join(f"<{clean(event.sound)}& {event.when}>" for event in events)


def read(text: str) -> list[Event]:
    """Return the events of a structured caption, none where there are none; what stands around them is left out."""
    found = [(clean(m[1]), m[2].lower().replace("middle", "mid")) for m in EVENT.finditer(text)]
    return [Event(sound, when) for sound, when in found if sound]


def from_sentence(sentence: str) -> list[Event]:
    """Return the events that an English sentence tells of, by its words for order and time, none of an empty one.

    "then", "followed by", "before" and the like begin what is heard later: the first is "start", the last "end", what
    is between "mid"; of "this after that" the second is first. Alone, sounds are heard throughout, and so is what goes
    on "in the background" or "constantly".
    """
    told = [part for step in LATER.split(sentence) for part in reversed(EARLIER.split(step))]
    steps = [step for step in told if clean(step)]
    events: list[Event] = []
    for i, step in enumerate(steps):
        place = "all" if len(steps) == 1 else "start" if not i else "end" if i == len(steps) - 1 else "mid"
        for part in together(step):
            sound, when = timed(part, place)
            if sound:
                events.append(Event(sound, when))
    return events


def together(step: str) -> list[str]:
    """Return the sounds that are heard together; a single word before a comma is an adjective, such as "loud"."""
    first, *others = TOGETHER.split(step)
    found = [first]
    for comma, part in zip(others[::2], others[1::2], strict=True):
        if comma and len(ARTICLE.sub("", found[-1].strip()).split()) == 1:
            found[-1] = f"{found[-1]}, {part}"
        else:
            found.append(part)
    return found


def timed(part: str, place: str) -> tuple[str, str]:
    """Return a sound without the words that say when it is heard, and when: `place` if there are none."""
    part = part.strip()
    for when, words in TIMES.items():
        part, count = re.subn(rf"\s*(?:{words})\s*", " ", part, flags=re.IGNORECASE)
        if count:
            place = when
    if LASTING.search(part):
        place = "all"
    return clean(ARTICLE.sub("", clean(part))).lower(), place


def sentence_of(events: Iterable[Event]) -> str:
    """Return a plain caption of events: in their order of time, and those throughout in the background."""
    heard = {when: " and ".join(clean(e.sound) for e in events if e.when == when) for when in WHEN}
    told = " followed by ".join(heard[when] for when in WHEN[1:] if heard[when])
    if told and heard["all"]:
        return f"{told} with {heard['all']} in the background"
    return told or heard["all"]


def prompt_of(text: str) -> Prompt:
    """Return a prompt's caption and structured form: what of the two it lacks is made from the other.

    A prompt may be a sentence, a structured caption, or both, in any order.
    """
    events = read(text)
    if not events:
        caption = text.strip()
        return Prompt(caption, write(from_sentence(caption) or ([Event(caption)] if clean(caption) else [])))
    caption = clean(EVENT.sub(" ", text))
    return Prompt(caption or sentence_of(events), write(events))


def prompt_from_fields(text: str, heard: Mapping[str, str]) -> Prompt:
    """Return the prompt of a text and of what is heard at each of WHEN, sounds parted by semicolons.

    Where nothing is heard, the text says it all. Raises ValueError for another time.
    """
    events = [
        Event(clean(sound), when) for when, sounds in heard.items() for sound in sounds.split(";") if clean(sound)
    ]
    if not events:
        return prompt_of(text)
    return Prompt(clean(EVENT.sub(" ", text)) or sentence_of(events), write(events))


@dataclass(frozen=True)
class Part:
    """What is heard in a part of the time, as a prompt of its own."""

    prompt: str
    stretch: Stretch


def in_parts(text: str) -> list[Part]:
    """Return what a prompt says is heard one after the other, each with a part of the time, none if that is one thing.

    Parts are even; what is heard throughout is part of each. The prompt is as `prompt_of` takes it.
    """
    events = read(prompt_of(text).structured)
    steps = [when for when in WHEN[1:] if any(event.when == when for event in events)]
    if len(steps) < 2:
        return []
    parts = []
    for n, step in enumerate(steps):
        heard = [Event(event.sound) for event in events if event.when in (step, "all")]
        parts.append(Part(write(heard), Stretch(n / len(steps), (n + 1) / len(steps))))
    return parts
