"""What is in pictures."""

from ..spec import Box, Template, column, note, picture
from .parts import CLASSIFIER_DEMO, FILES, together

TEMPLATES = (
    Template(
        api="classify_image",
        title="Recognise - What is in a picture",
        note=f"""**Classify Image** says what a picture shows, and how sure it is. The picture keeps its shape: here
it is three times as wide as high. Nothing is cropped or squeezed.

For a picture of your own put **Load Image** in place of the box *A picture*. *language* gives the labels in 19
languages or as emoji.

{CLASSIFIER_DEMO}""",
        columns=(
            note(),
            column(Box("A picture", "1-9", {"prompt": "4.text", "width": "9.target_width", "seed": "7.seed"} | FILES)),
            column("10", "11", "12", "13", width=320),
            column(Box("With its label", "14 15 17"), width=240),
            picture("16", width=480),
        ),
        aspect=1 / 3,
    ),
    Template(
        api="best_of_n",
        title="Recognise - Best of eight",
        note=f"""Eight pictures of one prompt, and a judge that keeps the best: **Keep Best** asks the classifier
how likely each shows the *label*. The judge never saw the style in which the demo draws.

Put the label as emoji or in any of 19 languages, several with commas between. *keep* is how many stay.

{CLASSIFIER_DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Paint eight",
                    "1-8",
                    {"prompt": "4.text", "pictures": "6.batch_size", **together(7), **FILES},
                )
            ),
            column("9", "10", "13", width=320),
            column(Box("Enlarge", "11 14-16"), width=240),
            picture("12", "17", width=480),
        ),
        aspects={"12": 1.0, "17": 0.5},
    ),
    Template(
        api="similar_images",
        title="Recognise - Find similar pictures",
        note=f"""Pictures sorted by how alike they are to a reference: first those that show the same, then what
looks like it, whatever their sizes. **Image Features** looks at each once, **Sort by Similarity** compares.

For pictures of your own put **Load Image** in place of the boxes *Pictures* and *Reference*.

{CLASSIFIER_DEMO}""",
        columns=(
            note(),
            column(
                Box("Model", "1-3 10", FILES),
                Box(
                    "Pictures",
                    "4-9 11-14",
                    {f"prompt {i + 1}": f"{i + 4}.value" for i in range(4)} | together(12),
                ),
                Box("Reference", "15-18", {"prompt": "15.text"} | together(17)),
                width=300,
            ),
            column("19", "20", "21", "22", "27", width=320),
            column(Box("In a grid", "23-25"), width=240),
            picture("26", width=480),
        ),
        aspect=0.5,
    ),
)
