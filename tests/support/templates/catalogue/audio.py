"""Sounds and music: from a prompt, in order, longer than trained, varied, a stretch made anew."""

from ..spec import Box, Template, column, note
from .parts import MUSIC_DEMO, SOUNDS_DEMO, together

OWN = "For a sound of your own put **Load Audio** in place of the box *First sound*."
FILES = {"model": "1.model_name"}


def from_prompt(title: str, nodes: str = "1-6") -> Box:
    """All from a prompt to sound."""
    return Box(
        title,
        nodes,
        {"prompt": "2.text", "negative prompt": "3.text", "seconds": "4.seconds"} | together(5) | FILES,
    )


def first(nodes: str) -> Box:
    """A sound to begin with, by the same model."""
    return Box("First sound", nodes, {"prompt": "3.text", "seconds": "4.seconds", **together(5), **FILES})


TEMPLATES = (
    Template(
        api="text_to_sound",
        title="Audio - Sound from a prompt",
        note=f"""A prompt in, a sound out. **Load Lumina Audio Model** brings all that belongs to the model, **Empty
Lumina Audio** takes the length in seconds, and ComfyUI's own nodes do the rest; while it samples, a spectrogram shows
what comes, low tones at the bottom.

**Try** *church bell*, *rain*, *a violin*, *horse gallop*, *applause*, *laser gun*, *the sound of a helicopter*. More
than 4 seconds need **Scaled RoPE**: *Audio - Longer than trained*.

{SOUNDS_DEMO}""",
        columns=(note(), column(from_prompt("Text to Sound")), column("7")),
        app=("prompt", "seconds", "seed", "steps", "cfg"),
    ),
    Template(
        api="sounds_in_order",
        title="Audio - Several sounds in order",
        note=f"""**Structured Caption** says which sound is heard when: at the start, in the middle, at the end, or
throughout. The fields become one line, which the node shows; *caption* takes an English sentence instead, and the order
is read from it: *a dog barks, then church bells ring*.

**Encode Sounds in Order** gives each sound its part of the time, and only that. With CLIP Text Encode in its place the
model often mixes up what comes when. For parts of other lengths chain **Timed Prompt**.

{SOUNDS_DEMO}""",
        columns=(
            note(),
            column("2", width=360),
            column(
                Box(
                    "Text to Sound",
                    "1 3-7",
                    {"negative prompt": "4.text", "seconds": "5.seconds"} | together(6) | FILES,
                ),
                "8",
            ),
        ),
    ),
    Template(
        api="text_to_music",
        title="Audio - Music from a prompt",
        note=f"""A tune from its instrument and tempo; leave one out, and the seed chooses it. A key can be named too,
but only three of ten tunes are in it.

**Try** *piano*, *church organ*, *trumpet*, *music box*, *strings*, *banjo*, 60 to 160 bpm, and a mood that goes with
the tempo: *a sad flute tune in D minor, 70 bpm*; *calm*, *cheerful*, *dramatic*.

{MUSIC_DEMO}""",
        columns=(note(), column(from_prompt("Text to Music")), column("7")),
        app=("prompt", "seconds", "seed", "steps", "cfg"),
    ),
    Template(
        api="longer_sound",
        title="Audio - Longer than trained",
        note=f"""Eight seconds from a model that was trained with four. **Scaled RoPE** stretches positions in time and
takes the length from the latent; at *auto* it chooses the method. Unplug it to hear what the model does without.

**Empty Lumina Audio** warns above the training length and says the exact length.

{SOUNDS_DEMO}""",
        columns=(
            note(
                Box(
                    "Model and prompt",
                    "1-4",
                    {"prompt": "2.text", "negative prompt": "3.text", "seconds": "4.seconds"} | FILES,
                ),
                width=340,
            ),
            column("5", width=300),
            column(Box("The sound", "6-7", together(6)), "8"),
        ),
    ),
    Template(
        api="sound_variation",
        title="Audio - Variation of a sound",
        note=f"""A sound played anew under another prompt: **VAE Encode Audio** makes a latent of it, and *denoise* says
how much may change: at 0.4 it is nearly the same sound, at 0.8 another instrument plays at much the same times.

{OWN} It is mixed down to mono at the model's 16 kHz.

{SOUNDS_DEMO}""",
        columns=(
            note(first("1-6"), width=340),
            column("7", Box("Second sound", "8-11", {"prompt": "8.text", **together(10), "denoise": "10.denoise"})),
            column("12"),
        ),
    ),
    Template(
        api="repaint_sound",
        title="Audio - Repaint a stretch",
        note=f"""From second 1.5 to 2.6 another sound, the rest as it was: **Set Audio Time Mask** is a noise mask by
seconds, and **Splice Audio** puts what was made anew into the first sound, which stays sample for sample elsewhere.

To go on with a sound, add silence behind it and repaint that. {OWN}

{SOUNDS_DEMO}""",
        columns=(
            note(first("1-6"), width=340),
            column(
                "7",
                Box(
                    "The stretch",
                    "8-13",
                    {"prompt": "8.text", "start": "10.start 13.start", "end": "10.end 13.end", **together(11)},
                ),
            ),
            column("14"),
        ),
    ),
)
