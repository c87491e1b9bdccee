"""Which thing stands where."""

from ..spec import Box, Template, column, note, picture
from .parts import DEMO, FILES, labels, model_and_prompt, together

SIZE = {"width": "6.width", "height": "6.height"}
EACH_PROMPT = {"seed": "16.seed", "steps": "16.steps", "cfg": "16.cfg", "width": "15.width", "height": "15.height"}


TEMPLATES = (
    Template(
        api="regional_prompts",
        title="Compose - Regional prompts",
        note=f"""One prompt for all mixes the two animals up; a prompt for each half does not. **Regional Prompt**
works inside attention: the left half reads one prompt, the right half another, and both still see each other. **Grid
Mask** makes the halves; painted masks do as well. Open the box *Two Regions* to see them.

*Global weight* lets the halves hear the prompt of the whole picture too.

{DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column(
                Box(
                    "Two Regions",
                    "7-12",
                    {
                        "left prompt": "7.text",
                        "right prompt": "10.text",
                        "soft edge": "8.feather 11.feather",
                        "strength": "9.strength 12.strength",
                        "global weight": "9.global_weight 12.global_weight",
                        "areas until": "9.areas_until 12.areas_until",
                    },
                ),
                width=320,
            ),
            column(
                Box("Paint both ways", "13-15 17 19-25", together(14, 13) | labels(21, 22)),
                width=300,
            ),
            picture("18", width=520),
        ),
        app=("prompt", "left prompt", "right prompt", "seed"),
    ),
    Template(
        api="two_objects",
        title="Compose - Two objects",
        note=f"""Two things in one picture, and which is where: *A left of B*, *A right of B*, the same in German,
Chinese and Japanese, or two emoji in a row.

{DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Prompts",
                    "4-12",
                    {
                        "English": "4.value",
                        "the other way round": "5.value",
                        "right of": "6.value",
                        "Deutsch": "7.value",
                        "中文": "8.value",
                        "日本語": "9.value",
                        "emoji": "10.value",
                        "emoji, other way": "11.value",
                    },
                ),
                width=320,
            ),
            column(Box("Paint each prompt", "1-3 13-18", EACH_PROMPT | FILES)),
            picture("19", width=560),
        ),
    ),
    Template(
        api="visual_anagram",
        title="Compose - Visual anagram",
        note=f"""One picture, two prompts: one for what is seen upright, one for what is seen upside down. In each
step the model predicts the picture from both sides, and **Visual Anagram** averages.

Exact in pixel space, as here. The latents of a VAE turn only approximately.

{DEMO}""",
        columns=(
            note(
                Box(
                    "Model and prompts",
                    "1-7",
                    {"upright": "4.text", "upside down": "5.text", "negative prompt": "6.text"}
                    | {"width": "7.width", "height": "7.height"}
                    | FILES,
                ),
                width=340,
            ),
            column("8", width=300),
            column(
                Box("Paint", "9-13 15 17-23", {"seed": "9.noise_seed", "steps": "11.steps"} | labels(19, 20)), width=300
            ),
            picture("16", width=560),
        ),
        aspect=0.5,
    ),
)
