"""Clouds of points."""

from ..spec import Box, Column, Template, column, note, picture
from .parts import FILES, POINTS_DEMO, together

DRAWN_AS = 0.35  # Draw Points has four sides in a row; the canvas draws nothing lower
WHAT = {"label": "2.label", "points": "3.count", "model": "1.model_name"}


def box(title: str, nodes: str, sampler: int, **more: str) -> Box:
    """A sampler with what comes before or after it."""
    return Box(title, nodes, together(sampler) | more)


def first_column() -> Column:
    """The note, and what all but the first two begin with."""
    return note(Box("Model and label", "1-4", WHAT), width=340)


TEMPLATES = (
    Template(
        api="label_to_points",
        title="Points - From a label",
        note=f"""An object as a cloud of points. **Point Label** says which, **Empty Points** how many points: any
number, though the model saw 256 at a time in training.

Twice as many are made as are kept. **Thin Points** keeps those that lie farthest apart, so the cloud is even.

{POINTS_DEMO}""",
        columns=(
            note(
                Box("Model and label", "1-4", {"label": "3.label", "points": "4.count", "model": "1.model_name"}),
                width=340,
            ),
            column(box("Make the points", "5-7 10", 5, **{"points kept": "6.count"}), width=280),
            column("8", "9", width=400),
            picture("11", width=520),
        ),
        aspect=DRAWN_AS,
    ),
    Template(
        api="text_to_points",
        title="Points - From a prompt",
        note=f"""An object as a cloud of points, from its name in any of 19 languages: *mug*, *Flugzeug*, *船*.
**Empty Points** says how many points: any number, though the model saw 256 at a time in training.

Points have no colours: *red* changes nothing.

{POINTS_DEMO}""",
        columns=(
            note(
                Box(
                    "Model and prompt",
                    "1-6",
                    {"prompt": "3.text", "negative prompt": "4.text", "points": "6.count"} | FILES,
                ),
                width=340,
            ),
            column(box("Make the points", "7 8 10", 7), width=280),
            column("9", width=400),
            picture("11", width=520),
        ),
        aspect=DRAWN_AS,
    ),
    Template(
        api="point_variation",
        title="Points - Variation",
        note=f"""A second cloud that resembles the first. *Denoise* in the box *Variation* says how little: at 0.4 it
stays close, at 0.7 it is another object of the same kind.

For a cloud of your own put **Load Points** in place of the box *First cloud*.

{POINTS_DEMO}""",
        columns=(
            first_column(),
            column(box("First cloud", "5 6", 5), width=280),
            column(box("Variation", "8 9 11", 8, denoise="8.denoise"), "10", width=400),
            picture("7", "12", width=520),
        ),
        aspect=DRAWN_AS,
    ),
    Template(
        api="complete_points",
        title="Points - Complete a part",
        note=f"""Half of an object in, the whole out. **Cut Points** keeps the lower half; **Complete Points** leaves
it where it is and adds points for the sampler to make, which see it all along and fit.

For a part of your own put **Load Points** in place of the box *The part*, and turn *fit* off: the whole object should
reach from -1 to 1.

{POINTS_DEMO}""",
        columns=(
            first_column(),
            column(box("The part", "5-7", 5, **{name: f"6.{name}" for name in ("axis", "start", "end")}), width=280),
            column(box("The whole", "9-11 13", 10, **{"points in all": "9.count"}), "12", width=400),
            picture("8", "14", width=520),
        ),
        aspect=DRAWN_AS,
    ),
    Template(
        api="denser_points",
        title="Points - Denser",
        note=f"""256 points become 1024. **Complete Points** leaves the first ones where they are; the new ones begin
between them, and a *denoise* of 0.6 in the box *Dense cloud* lets them find their place on the surface.

For a cloud of your own put **Load Points** in place of the box *Coarse cloud*.

{POINTS_DEMO}""",
        columns=(
            first_column(),
            column(box("Coarse cloud", "5 6", 5), width=280),
            column(
                box("Dense cloud", "8-10 12", 9, **{"points in all": "8.count", "denoise": "9.denoise"}),
                "11",
                width=400,
            ),
            picture("7", "13", width=520),
        ),
        aspect=DRAWN_AS,
    ),
    Template(
        api="points_to_mesh",
        title="Points - To a mesh",
        note=f"""**Points to Voxels** fills the cells that points lie in, and ComfyUI's **Voxel to Mesh** wraps a
surface around them, which **Save 3D Model** writes as a GLB file.

More *cells* show finer parts and need more points: about one a cell of the surface, or the mesh has holes.

{POINTS_DEMO}""",
        columns=(
            first_column(),
            column(
                box("Make the points", "5 9", 5),
                Box("To a mesh", "6 7", {name: f"6.{name}" for name in ("cells", "thickness")}),
                width=280,
            ),
            column("8", width=400),
            picture("10", width=520),
        ),
        aspect=DRAWN_AS,
    ),
)
