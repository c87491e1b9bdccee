"""Fewer steps, and cheaper ones."""

from ..spec import Box, Template, column, note, picture
from .parts import DEMO, labels, model_and_prompt, together

SIZE = {"width": "6.width", "height": "6.height"}

TEMPLATES = (
    Template(
        api="few_step",
        title="Faster - Few steps",
        note=f"""Two steps are not enough; six of **Flow Schedule** come as near to the true pictures as ten even
ones, and are hardly told from thirty. Its sigmoid takes small steps near the noise and near the picture and large
ones between. **Flow Sampler** takes them.

Midpoint asks the model twice a step: try it from eight steps on.

{DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column("9", "10", width=300),
            column(
                Box(
                    "Paint three ways",
                    "7 8 11 12 14-25",
                    {"seed": "8.noise_seed 14.seed 16.seed", "cfg": "7.cfg 14.cfg 16.cfg"}
                    | {"few steps": "14.steps", "many steps": "16.steps"}
                    | labels(20, 21, 22),
                ),
                width=300,
            ),
            picture("13", width=660),
        ),
        aspect=0.34,
    ),
    Template(
        api="context_drop",
        title="Faster - Context Drop",
        note=f"""The same picture twice, the second time with **Context Drop**: attention looks at averaged image keys
and values, a quarter of them with a window of 2, in all layers at first and in none at the end.

Pictures stay nearly the same. The gain grows with the size: at this one it is small.

{DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column("7", width=280),
            column("8", width=260),
            column(Box("Paint both ways", "10 11 13 14 16-22", together(10, 13) | labels(18, 19)), width=280),
            picture("15", width=440),
        ),
        aspect=0.5,
    ),
)
