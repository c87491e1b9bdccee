from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import views
from ..drawing import cameras

RING_OF_8 = cameras.azimuth_text(cameras.ring(8))


class MultiView(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextMultiView",
            display_name="Multi-View Conditioning",
            category="Lumina-Next/multi-view",
            description="Several views of one object in one sampling run, from text, one image or both. The views are "
            "the batch: VAE Decode gives them in the order of the azimuths. For multi-view Lumina-Next checkpoints.",
            search_aliases=(
                "novel view, novel views, multiview, multi view, image to views, views, turntable, orbit, "
                "zero123, 3d, character sheet, view synthesis, 多视图, 多视角, 新视角, 多視角, 三视图, "
                "マルチビュー, 新規視点, 多視点"
            ).split(", "),
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the object is. Empty leaves it to the image."),
                io.Conditioning.Input(
                    "negative", tooltip="The negative prompt, usually empty. It never sees the image."
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The model's VAE: encodes the image, and tells the empty latent its channels. Needed with "
                    "an image, and on ComfyUI releases that do not fit empty latents to models (0.3.64).",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The object as seen from azimuth 0, on the background of the training pictures (white for "
                    "the checkpoint in the box). Scaled and cropped to a view. One, or one a set.",
                ),
                io.String.Input(
                    "azimuths",
                    default=RING_OF_8,
                    tooltip="Degrees around the object, counter-clockwise from above, one a view, separated by commas "
                    "or blanks; from Camera Ring, or written here. The image, if there is one, is at 0.",
                ),
                io.Int.Input(
                    "width",
                    default=32,
                    min=16,
                    max=16384,
                    step=8,
                    tooltip="Width of a view in pixels: the size the checkpoint was trained at, 32 for the one in the "
                    "box.",
                ),
                io.Int.Input(
                    "height",
                    default=32,
                    min=16,
                    max=16384,
                    step=8,
                    tooltip="Height of a view in pixels: the size the checkpoint was trained at, 32 for the one in the "
                    "box.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=512,
                    tooltip="Number of sets. Each has its own noise, so it is another object of the same prompt.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="Text and image, for any sampler."),
                io.Conditioning.Output(
                    display_name="image_only",
                    tooltip="The negative prompt with the image: cond2 of DualCFGGuider, to guide by each on its own.",
                ),
                io.Conditioning.Output(display_name="negative", tooltip="No image, for any sampler."),
                io.Latent.Output(display_name="latent", tooltip="Empty, a batch of all views of all sets."),
            ],
        )

    @classmethod
    def execute(
        cls, positive, negative, azimuths: str, width: int, height: int, batch_size: int, vae=None, image=None
    ) -> io.NodeOutput:
        angles = cameras.parse_azimuths(azimuths)
        seen = None if image is None else views.encode_image(image, vae, batch_size, width, height)
        tell(f"{len(angles)} views of {width} × {height} a set, a batch of {len(angles) * batch_size}")
        return io.NodeOutput(
            views.with_views(positive, angles, seen),
            views.with_views(negative, angles, seen),
            views.with_views(negative, angles),
            views.empty_views(len(angles), batch_size, width, height, vae),
        )
