from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import video


class DecodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextDecodeVideo",
            display_name="Decode Video Frames",
            category="Lumina-Next/video",
            description="All frames of a clip, as a batch of images for Create Video. VAE Decode shows only the first "
            "one, since Lumina-Next's VAEs are made for pictures.",
            search_aliases=(
                "vae decode video, decode frames, latent to frames, video frames, 视频解码, 動画デコード"
            ).split(", "),
            inputs=[
                io.Latent.Input("samples", tooltip="What a video model sampled. Clips of a batch follow each other."),
                io.Vae.Input("vae", tooltip="The model's VAE. It decodes every frame on its own."),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames, in order.")],
        )

    @classmethod
    def execute(cls, samples, vae) -> io.NodeOutput:
        return io.NodeOutput(video.decode_video(samples, vae))
