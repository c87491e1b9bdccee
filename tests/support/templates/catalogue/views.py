"""One object from several sides."""

from ..spec import Box, Template, column, note, picture
from .parts import VIEWS_DEMO, model_and_prompt, together

SHEET = {"columns": "16.columns"}
FIRST = {"width": "6.width", "height": "6.height", "seed": "7.seed", "steps": "7.steps", "cfg": "7.cfg"}


def from_a_prompt(api: str, title: str, note_text: str, **more) -> Template:
    """One view from the prompt, all views from it and the prompt."""
    return Template(
        api=api,
        title=title,
        note=note_text,
        columns=(
            note(model_and_prompt(), width=340),
            column(Box("First view", "6-8", FIRST), "11", width=280),
            column("12", width=280),
            column(Box("Paint all views", "13-16 20", together(13) | SHEET), width=280),
            picture("17", "18", width=420),
        ),
        aspects={"17": 0.5},
        **more,
    )


TEMPLATES = (
    from_a_prompt(
        "text_to_views",
        "Views - From a prompt",
        f"""One object from eight sides. A prompt leaves open what the object looks like and which way it points, so
one view is painted first, and all views in one run from it and the prompt.

**Camera Ring** says how many there are and where they stand. For cameras of your own, unplug *azimuths* and write
them: 0, 30, 60.

{VIEWS_DEMO}""",
        app=("prompt", "seed"),
    ),
    Template(
        api="image_to_views",
        title="Views - From an image",
        note=f"""One picture in, the object from eight sides out. The image joins the views in attention, as one more
frame without noise, and stands at azimuth 0.

Here the same model paints the image, so that the workflow runs as it is. For a picture of your own put **Load Image**
in place of the box *The image*: the object in the middle, on white.

{VIEWS_DEMO}""",
        columns=(
            note(model_and_prompt(), width=340),
            column(Box("The image", "6-9 21", FIRST), "11", width=280),
            column("12", "10", width=280),
            column(Box("Paint all views", "13-16 20", together(13) | SHEET), width=280),
            picture("17", "18", width=420),
        ),
        aspects={"17": 0.5},
    ),
    Template(
        api="text_and_image_to_views",
        title="Views - From an image and a prompt",
        note=f"""**Dual CFG Guider**, in the box *Paint all views*, guides by each on its own: *cfg_conds* away from
the image alone, towards the text; *cfg_cond2_negative* away from nothing, towards the image. Raise the first where
the prompt is not followed, the second where the views do not look like the image.

For a picture of your own put **Load Image** in place of the box *The image*: the object in the middle, on white.

{VIEWS_DEMO}""",
        columns=(
            note(model_and_prompt(), width=340),
            column(Box("The image", "6-9 25", FIRST), "11", width=280),
            column("12", "10", width=280),
            column(
                Box(
                    "Paint all views",
                    "13-20 24",
                    {"seed": "14.noise_seed", "steps": "16.steps", "columns": "20.columns"}
                    | {name: f"13.{name}" for name in ("cfg_conds", "cfg_cond2_negative")},
                ),
                width=280,
            ),
            picture("21", "22", width=420),
        ),
        aspects={"21": 0.5},
    ),
    from_a_prompt(
        "eighteen_views",
        "Views - Eighteen around",
        f"""An object every 20°, in one run of a model that has seen at most eight views at a time. One view is
painted first, all others from it and the prompt. Time grows faster than the number of views, since all look at all.

{VIEWS_DEMO}""",
    ),
)
