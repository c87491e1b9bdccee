"""Pictures larger than in training."""

from ..spec import Box, Template, column, note, picture
from .parts import DEMO, FILES, labels, model, model_and_prompt, side_by_side, together

SIZE = {"width": "6.width", "height": "6.height"}

TEMPLATES = (
    Template(
        api="larger_than_training",
        title="Larger - Twice the size in one pass",
        note=f"""The same prompt and seed at twice the training size. **As trained** the object repeats; **Scaled
RoPE** stretches the positions, and there is one again. It takes the size from the latent and shows how much longer
each wave gets.

*Larger - Every RoPE method* compares the others. With the official weights the same graph goes from 1024 to 2048.

{DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column("8", width=300),
            column(Box("Paint both ways", "10 11 13 14 19-25", together(10, 13) | labels(21, 22)), width=300),
            picture("18", width=560),
        ),
        aspect=0.5,
    ),
    Template(
        api="hires_fix",
        title="Larger - Hires fix in two passes",
        note=f"""The first pass composes at the training size. Its latent is enlarged, and the second pass sharpens
what is there: at a *denoise* of 0.3 it keeps the picture, at 0.6 it draws anew what it finds vague.

**Scaled RoPE** stretches the positions of the second pass. On the demo this comes nearer to the true pictures than
painting at twice the size at once.

{DEMO}""",
        columns=(
            note(model("1-4 6", prompt="6.text", **{"negative prompt": "4.text"}), width=340),
            column(
                Box("First pass", "5 7 8", {"width": "5.width", "height": "5.height"} | together(7)), "11", width=270
            ),
            column(
                Box("Second pass", "10 12 13", {"enlarge": "10.scale_by"} | together(12) | {"denoise": "12.denoise"}),
                width=270,
            ),
            column(side_by_side("15-21", 17, 18), width=260),
            picture("14", width=480),
        ),
        aspect=0.5,
    ),
    Template(
        api="four_times",
        title="Larger - Four times in three passes",
        note=f"""Three passes: one composes at the training size, two more enlarge its latent by two each and sharpen
it. One **Scaled RoPE** serves all, since it takes the size from the latent, and does nothing in the first.

On the demo that comes nearer to the true pictures than painting at four times the size at once, in a third of the
time. It takes half a minute on a CPU.

{DEMO}""",
        columns=(
            note(model("1-4 6", prompt="6.text", **{"negative prompt": "4.text"}), width=340),
            column(
                "11",
                Box("First pass", "5 7 8", {"width": "5.width", "height": "5.height"} | together(7)),
                width=270,
            ),
            column(
                Box("Second pass", "10 12", {"enlarge": "10.scale_by"} | together(12) | {"denoise": "12.denoise"}),
                width=270,
            ),
            column(
                Box(
                    "Third pass",
                    "13 16 17 18-24",
                    {"enlarge": "16.scale_by"} | together(17) | {"denoise": "17.denoise"} | labels(20, 21),
                ),
                width=270,
            ),
            picture("14", width=480),
        ),
        aspect=0.5,
    ),
    Template(
        api="panorama",
        title="Larger - Panorama",
        note=f"""One prompt on a canvas four times as wide as in training, three ways.

**Scaled RoPE** with one factor for each axis leaves the height alone: *ntk_aware* keeps an object's shape and repeats
it, *time_aware_late* draws one and stretches it over the width. For a landscape you want the first, for one wide
thing the second.

{DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column("8", "9", width=300),
            column(
                Box("Paint three ways", "10 11 13 14 16 17 19-26", together(10, 13, 16) | labels(21, 22, 23)), width=300
            ),
            picture("18", width=560),
        ),
        aspect=0.75,
    ),
    Template(
        api="rope_methods_grid",
        title="Larger - Every RoPE method",
        note=f"""The same prompt and seed at twice the training size with each method of **Scaled RoPE** and, in the
last place, the model's own picture at its training size, enlarged.

Which method is best depends on how many positions an axis had in training: 16 in the demo, 64 in the official
weights. Put your own model in and look; with the official weights the sizes are 2048 and 1024.

{DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Every method",
                    "1-6 8-11 13-15 17-19 21-23 25-27 29-31 33-35 37 38",
                    {"prompt": "4.text", "negative prompt": "5.text"}
                    | SIZE
                    | {"training width": "8.width", "training height": "8.height"}
                    | FILES,
                )
            ),
            column(side_by_side("44-56", *range(46, 54)), width=320),
            picture("43", width=700),
        ),
        aspect=0.5,
    ),
)
