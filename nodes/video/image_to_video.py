from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import video
from .sizes import clip_inputs


class ImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextImageToVideo",
            display_name="Image to Video (Lumina-Next)",
            category="Lumina-Next/video",
            description="A latent for a clip that begins with an image, ends with one, or both: the frames between are "
            "drawn by KSampler and a Lumina-Next video model. The images stay as they are.",
            search_aliases=(
                "i2v, image to video, animate, first frame, last frame, first last frame, in-between, inbetween, "
                "frame interpolation, keyframes, 图生视频, 首尾帧, 插帧, 画像から動画, フレーム補間"
            ).split(", "),
            inputs=[
                io.Vae.Input("vae", tooltip="The model's VAE: encodes the images."),
                io.Image.Input(
                    "first_image",
                    optional=True,
                    tooltip="The first frame, scaled and cropped. A batch is as many frames: a clip to go on with.",
                ),
                io.Image.Input(
                    "last_image",
                    optional=True,
                    tooltip="The last frame, scaled and cropped. A batch is as many frames.",
                ),
                *clip_inputs(),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent", tooltip="The frames, and a noise mask that keeps the given ones."
                )
            ],
        )

    @classmethod
    def execute(cls, vae, width: int, height: int, frames: int, first_image=None, last_image=None) -> io.NodeOutput:
        return io.NodeOutput(video.image_to_video(vae, frames, width, height, first_image, last_image))
