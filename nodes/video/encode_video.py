from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import video


class EncodeVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextEncodeVideo",
            display_name="Encode Video Frames",
            category="Lumina-Next/video",
            description="The latent of a clip, from its frames: for KSampler with a denoise below 1, which draws the "
            "clip anew. VAE Encode makes a batch of single pictures instead.",
            search_aliases=(
                "video to video, v2v, vae encode video, encode frames, restyle video, 视频转视频, 视频编码, "
                "動画から動画, 動画エンコード"
            ).split(", "),
            inputs=[
                io.Image.Input("images", tooltip="The frames, in order: from Get Video Components, or a batch."),
                io.Vae.Input("vae", tooltip="The model's VAE. It encodes every frame on its own."),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="One clip, for any sampler.")],
        )

    @classmethod
    def execute(cls, images, vae) -> io.NodeOutput:
        return io.NodeOutput(video.encode_video(images, vae))
