"""Clips: from a prompt, from frames, from other clips."""

from ..spec import Box, Template, column, note, picture
from .parts import VIDEO_DEMO, model, model_and_prompt, together

OWN = "For a picture of your own put **Load Image** in place of the box *The image*."
SIZE = {"frames": "6.frames", "width": "6.width", "height": "6.height"}
LOADERS = {"negative prompt": "4.text"}


def the_image(nodes: str = "5-8") -> Box:
    """One frame, drawn by the same model."""
    return Box("The image", nodes, {"prompt": "5.text", **together(7)})


def clip(title: str, nodes: str, prompt: int, latent: int, sampler: int, rate: int) -> Box:
    """A clip of a prompt from a latent that holds frames, as a video."""
    frames = {"prompt": f"{prompt}.text", "frames": f"{latent}.frames"}
    return Box(title, nodes, frames | together(sampler) | {"fps": f"{rate}.fps"})


TEMPLATES = (
    Template(
        api="text_to_video",
        title="Video - From a prompt",
        note=f"""A prompt in, a clip out. **Empty Video Latent** says how many frames it has, as they are; **Decode
Video Frames** turns all of them into images, and stock nodes make a file of those.

**Try** *moving left*, *right*, *up* or *down*, *growing*, *shrinking*, *bouncing*, with *slowly* or
*quickly* behind it, and other things: *red apple*, *rocket*, *panda*. More than 8 frames need **Scaled RoPE**: *Video -
Longer than trained*.

{VIDEO_DEMO}""",
        columns=(
            note(),
            column(
                Box(
                    "Text to Video",
                    "1-10",
                    {"prompt": "4.text", "negative prompt": "5.text"}
                    | SIZE
                    | together(7)
                    | {"fps": "10.fps", "model": "1.model_name", "text encoder": "2.text_encoder"},
                )
            ),
            picture("11"),
        ),
        app=("prompt", "seed", "steps", "cfg"),
    ),
    Template(
        api="image_to_video",
        title="Video - From an image",
        note=f"""The image is the first frame and stays as it is; the frames after it are drawn with it in attention,
and the prompt says how it moves.

Here the same model paints the image, so that the workflow runs as it is. {OWN} A batch of images is as many frames:
**Image to Video** goes on with a clip.

{VIDEO_DEMO}""",
        columns=(
            note(model("1-4", **LOADERS), width=340),
            column(the_image(), width=280),
            column(clip("The clip", "9-14", 9, 10, 11, 14), width=280),
            picture("15"),
        ),
    ),
    Template(
        api="between_two_images",
        title="Video - Between two images",
        note=f"""Two images in, the frames between them out. Both stay as they are; leave *first_image* of **Image to
Video** unplugged for a clip that only ends with one.

Here the images are one picture at two sizes, so that the workflow runs as it is. For your own put two **Load Image** in
place of the box *Two images*.

{VIDEO_DEMO}""",
        columns=(
            note(model("1-4", **LOADERS), width=340),
            column(Box("Two images", "5-13", {"prompt": "5.text", **together(7)}), width=280),
            column(clip("The clip", "14-19", 14, 15, 16, 19), width=280),
            picture("20"),
        ),
    ),
    Template(
        api="video_to_video",
        title="Video - From a video",
        note=f"""The frames of one clip, drawn anew under another prompt: *denoise* says how much may change. At 0.7
the motion stays, and the thing becomes another. Both clips run side by side in the file.

For a clip of your own put **Load Video** and **Get Video Components** in place of the box *First clip*.

{VIDEO_DEMO}""",
        columns=(
            note(model("1-4", **LOADERS), width=340),
            column(Box("First clip", "5-8", {"prompt": "5.text", **SIZE, **together(7)}), width=280),
            column(
                Box(
                    "Second clip",
                    "9-15",
                    {"prompt": "9.text", **together(11), "denoise": "11.denoise", "fps": "15.fps"},
                ),
                width=280,
            ),
            picture("16"),
        ),
        aspect=0.5,
    ),
    Template(
        api="longer_video",
        title="Video - Longer than trained",
        note=f"""Sixteen frames from a model that was trained with eight. **Scaled RoPE** stretches positions in time as
it does in space, each by a factor of its own, and takes both from the latent. Unplug it to see what the model does
without.

It serves larger frames too: set *width* and *height* to 64. Where attention over all frames gets slow, **Context
Windows (Manual)** with *dim* 2 looks at a part of them at a time.

{VIDEO_DEMO}""",
        columns=(
            note(model_and_prompt("1-6", **SIZE), width=340),
            column("7", width=300),
            column(Box("The clip", "8-11", {**together(8), "fps": "11.fps"}), width=280),
            picture("12"),
        ),
    ),
    Template(
        api="one_after_another",
        title="Video - One prompt after another",
        note=f"""A prompt for each half of the time, in one clip: **Timed Prompt** says when it applies, from 0, the
beginning, to 1, the end. The first node of the chain takes the global prompt too, which applies where no other does.

For three parts chain a third; *fade* lets one pass into the next. With one prompt for both, *rocket growing, then
shrinking*, the model does neither.

{VIDEO_DEMO}""",
        columns=(
            note(
                Box(
                    "Model and prompts",
                    "1-6 9",
                    {
                        "first prompt": "4.text",
                        "second prompt": "5.text",
                        "frames": "9.frames",
                        "width": "9.width",
                        "height": "9.height",
                    },
                ),
                width=340,
            ),
            column("7", "8", width=300),
            column(Box("The clip", "10-14", {**together(11), "fps": "14.fps"}), width=280),
            picture("15"),
        ),
    ),
)
