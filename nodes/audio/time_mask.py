from comfy_api.latest import io

from ..adapter.audio.time_mask import mask_time
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema


class AudioTimeMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextAudioTimeMask",
            display_name="Set Audio Time Mask",
            category="Lumina-Next/audio",
            description="Which seconds of a sound KSampler makes anew; the rest stays. Set Latent Noise Mask for time.",
            search_aliases=(
                "inpaint audio, audio inpainting, repaint audio, extend audio, outpaint audio, replace a part, "
                "noise mask, seconds, time range, 音频局部重绘, 重绘音频, 时间遮罩, 音声インペイント, 時間マスク"
            ).split(", "),
            inputs=[
                io.Latent.Input("samples", tooltip="The sound, from VAE Encode Audio or a sampler."),
                io.Vae.Input("vae", tooltip="The model's VAE: tells how many latents a second has."),
                io.Float.Input(
                    "start",
                    default=1.0,
                    min=0.0,
                    max=600.0,
                    step=0.01,
                    tooltip="Where the stretch begins, in seconds.",
                ),
                io.Float.Input(
                    "end",
                    default=2.0,
                    min=0.0,
                    max=600.0,
                    step=0.01,
                    tooltip="Where it ends, in seconds; 0 is the end of the sound.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="For any sampler. A second node of this kind adds a second stretch.")],
        )

    @classmethod
    def execute(cls, samples, vae, start: float, end: float) -> io.NodeOutput:
        latent, told = mask_time(samples, vae, start, end)
        tell(told)
        return io.NodeOutput(latent)
