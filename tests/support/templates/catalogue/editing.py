"""A picture that is there already, changed."""

from ..spec import Box, Template, column, note, picture
from .parts import DEMO, labels, model, side_by_side, together

OWN = "For a picture of your own put **Load Image** in place of the box *First picture*."
FIRST = {
    "prompt": "6.text",
    "width": "5.width",
    "height": "5.height",
    "seed": "7.seed",
    "steps": "7.steps",
    "cfg": "7.cfg",
}

SQUARE = {"width": "12.width", "height": "12.height", "x": "13.x", "y": "13.y"}


def first_picture(nodes: str = "5-8") -> Box:
    """What the editing starts from."""
    return Box("First picture", nodes, FIRST)


def repaint(title: str, nodes: str, prompt: int, sampler: int, **more: str) -> Box:
    """The first picture drawn again under another prompt."""
    return Box(title, nodes, {"prompt": f"{prompt}.text", **more, **together(sampler), "denoise": f"{sampler}.denoise"})


def loaders() -> Box:
    """The models, with the negative prompt that both samplers share."""
    return model("1-4", **{"negative prompt": "4.text"})


TEMPLATES = (
    Template(
        api="image_to_image",
        title="Edit - Image to image",
        note=f"""*Denoise* below 1 in the box *Second picture* keeps that much less of the first one: 0.1 hardly
changes it, 0.9 leaves little.

{OWN}

{DEMO}""",
        columns=(
            note(loaders(), width=340),
            column(first_picture(), width=280),
            column(repaint("Second picture", "10-13", 11, 12), width=280),
            column(side_by_side("15-21", 17, 18), width=260),
            picture("14", width=480),
        ),
        aspect=0.5,
    ),
    Template(
        api="inpaint",
        title="Edit - Inpaint",
        note=f"""The mask says where the second sampler may paint: the square is repainted, the rest stays as it was,
pixel for pixel.

{OWN} Draw the mask in ComfyUI's mask editor then.

{DEMO}""",
        columns=(
            note(loaders(), width=340),
            column(first_picture(), Box("Mask", "11-13", SQUARE), width=280),
            column(repaint("Repaint", "10 14-17", 15, 16), width=280),
            column(side_by_side("19-25", 21, 22), width=260),
            picture("18", width=480),
        ),
        aspect=0.5,
    ),
    Template(
        api="outpaint",
        title="Edit - Outpaint",
        note=f"""**Pad Image for Outpainting** makes the canvas wider and a mask of the new part; the second sampler
paints there and keeps the rest. *Feathering* softens the seam: it lets a few columns of the first picture change.

{OWN}

{DEMO}""",
        columns=(
            note(loaders(), width=340),
            column(first_picture(), width=280),
            column(
                repaint(
                    "Paint the new part", "10-15", 13, 14, **{i: f"10.{i}" for i in ("left", "right", "feathering")}
                ),
                width=280,
            ),
            column(side_by_side("17-23", 19, 20), width=260),
            picture("16", width=480),
        ),
    ),
    Template(
        api="differential_diffusion",
        title="Edit - Differential diffusion",
        note=f"""A grey mask says how much each place may change, not only whether: here nothing at the left edge,
everything at the right one. **Differential Diffusion** frees a place once the noise has fallen to what its grey
allows.

The mask can be any: one painted in the mask editor, or a depth map.

{DEMO}""",
        columns=(
            note(loaders(), width=340),
            column(first_picture(), Box("Mask", "10 11 19", {"soft from the left": "11.left"}), "12", width=280),
            column(repaint("Repaint", "13-17", 15, 16), width=270),
            column(side_by_side("20-27", 22, 23, 24), width=260),
            picture("18", width=560),
        ),
        aspect=0.34,
    ),
    Template(
        api="variations",
        title="Edit - Variations",
        note=f"""Four copies of one picture, each noised in its own way up to *denoise* and drawn again: at 0.7 the
variations stay close, at 0.9 they go further. The noise of a copy is the same in both rows, so they compare.

For a picture of your own put **Load Image** and **VAE Encode** in place of the box *First picture*.

{DEMO}""",
        columns=(
            note(loaders(), width=340),
            column(Box("First picture", "5-7 10", FIRST | {"copies": "10.amount"}), width=300),
            column(
                Box("Close", "11 13", {"seed": "11.seed", "steps": "11.steps", "denoise": "11.denoise"}),
                Box("Far", "12 14", {"seed": "12.seed", "steps": "12.steps", "denoise": "12.denoise"}),
                width=280,
            ),
            column(side_by_side("19-26", 21, 22), width=260),
            picture("18", width=560),
        ),
        aspect=0.5,
    ),
    Template(
        api="train_lora",
        title="Train a LoRA",
        note=f"""ComfyUI's own **Train LoRA** on four pictures with their prompts, in a few minutes on a CPU. The
pictures are made here: what the model draws, inverted. The test prompt is not among them, and comes out on a dark
ground with the LoRA.

For your own style put **Load Image Dataset from Folder** in place of *Training data*. The file goes to output/loras;
move it to models/loras.

{DEMO}""",
        columns=(
            note(loaders(), width=320),
            column(
                Box("Training data", "5-15", {f"prompt {i + 1}": f"{i + 6}.value" for i in range(4)} | together(12)),
                width=260,
            ),
            column("16", width=280),
            column(
                Box("With and without", "18-23 26-32", {"prompt": "19.text"} | together(20, 21) | labels(28, 29)),
                "17",
                width=260,
            ),
            picture("25", width=400),
        ),
        aspect=0.5,
    ),
)
