from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import video
from .sizes import clip_inputs


class EmptyVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextEmptyVideo",
            display_name="Empty Video Latent (Lumina-Next)",
            category="Lumina-Next/video",
            description="An empty latent for a clip, with as many frames as are asked for, for KSampler and a "
            "Lumina-Next video model. Decode Video Frames turns the result into images, Create Video those into a "
            "video.",
            search_aliases=(
                "text to video, t2v, empty latent video, video, clip, frames, animation, 视频, 文生视频, 动画, "
                "動画, テキストから動画"
            ).split(", "),
            inputs=[
                *clip_inputs(),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=512, tooltip="Number of clips, each with noise of its own."
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The model's VAE, which tells the latent its channels. Only needed on ComfyUI releases "
                    "that do not fit empty latents to models (0.3.64).",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For any sampler.")],
        )

    @classmethod
    def execute(cls, width: int, height: int, frames: int, batch_size: int, vae=None) -> io.NodeOutput:
        return io.NodeOutput(video.empty_video(frames, width, height, batch_size, vae))
