"""Where a newcomer starts."""

from ..spec import Box, Template, column, note, picture
from .parts import DEMO, FILES

TEXT_TO_IMAGE = {
    "prompt": "4.text",
    "negative prompt": "5.text",
    "width": "6.width",
    "height": "6.height",
    "seed": "7.seed",
    "steps": "7.steps",
    "cfg": "7.cfg",
}
EACH_PROMPT = {"seed": "16.seed", "steps": "16.steps", "cfg": "16.cfg", "width": "15.width", "height": "15.height"}

TEMPLATES = (
    Template(
        api="text_to_image",
        title="Text to image",
        note=f"""A prompt in, a picture out. The box holds the loaders, the prompts and the sampler; open it by its
corner.

**Try** other words: *panda*, *red apple*, *rocket*, *狐狸*, 🍄, or two at a width of 128: *fox left of hamburger*.

Keep the height at 64. For larger pictures open one of the *Larger* templates, for photographs *Official - Text to
image*.

{DEMO}""",
        columns=(note(), column(Box("Text to Image", "1-8 10", TEXT_TO_IMAGE | FILES)), picture("9")),
        app=("prompt", "seed", "steps", "cfg"),
    ),
    Template(
        api="multilingual",
        title="Text to image - Many languages",
        note=f"""One prompt in eight languages, and eight times the same animal: the language model reads them all,
emoji and right-to-left scripts too.

**Create List** in the first box hands the prompts on one after the other, so one sampler serves them all.

{DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Prompts",
                    "4-12",
                    {
                        "English": "4.value",
                        "中文": "5.value",
                        "日本語": "6.value",
                        "العربية": "7.value",
                        "हिन्दी": "8.value",
                        "Русский": "9.value",
                        "Français": "10.value",
                        "Emoji": "11.value",
                    },
                ),
                width=300,
            ),
            column(Box("Paint each prompt", "1-3 13-18", EACH_PROMPT | FILES)),
            picture("19", width=640),
        ),
        aspect=0.5,
    ),
    Template(
        api="emoji_prompts",
        title="Text to image - Emoji as prompts",
        note=f"""An emoji is text like any other: the language model in this pack has learned each one together with
its names. Put other emoji in, or open *Compose - Two objects* for two in a row.

{DEMO}""",
        columns=(
            note(),
            column(Box("Prompts", "4-12", {f"prompt {i + 1}": f"{i + 4}.value" for i in range(8)}), width=300),
            column(Box("Paint each prompt", "1-3 13-18", EACH_PROMPT | FILES)),
            picture("19", width=640),
        ),
        aspect=0.5,
    ),
    Template(
        api="guidance_and_seeds",
        title="Text to image - Guidance and seeds",
        note=f"""One prompt, four strengths of guidance (the rows) and four noises (the columns). CFG 1 is no
guidance, and a step then costs half. High values make colours hard and shapes coarse.

{DEMO}""",
        columns=(
            note(),
            column(
                Box("Strengths", "4-7 12", {f"cfg {i + 1}": f"{i + 4}.value" for i in range(4)}),
                Box("Labels", "23-27", {f"label {i + 1}": f"{i + 23}.value" for i in range(4)}),
                width=300,
            ),
            column(
                Box(
                    "Paint each strength",
                    "1-3 13-18 21 22 28",
                    {"prompt": "13.text", "negative prompt": "14.text", "pictures": "15.batch_size", "seed": "16.seed"}
                    | {"steps": "16.steps"}
                    | FILES,
                )
            ),
            picture("19", width=560),
        ),
    ),
)
