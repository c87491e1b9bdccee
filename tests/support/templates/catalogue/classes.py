"""Pictures of classes, without a text."""

from ..spec import Box, Template, column, note, picture
from .parts import CLASSES_DEMO, together

TEMPLATES = (
    Template(
        api="class_to_image",
        title="Class to image",
        note=f"""Eight classes in, a picture of each out, from a model that knows no text. **Class Label** takes names
or numbers with commas between: each picture of the batch has a class of its own.

**Try** others: *panda*, *butterfly*, *red apple*, *sailboat*, *guitar*, or one class for all eight. A name that the
model does not know is answered with the nearest that it does.

{CLASSES_DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Class to Image",
                    "1-9",
                    {"classes": "3.labels", "pictures": "4.batch_size", **together(5), "model": "1.model_name"},
                )
            ),
            picture("10", width=640),
        ),
        aspect=0.5,
        app=("classes", "seed", "steps", "cfg"),
    ),
)
