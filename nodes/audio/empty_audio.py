import logging

from comfy_api.latest import io

from ...nextdit.audio_config import MOST_SECONDS
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import audio


class EmptyAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextEmptyAudio",
            display_name="Empty Lumina Audio",
            category="Lumina-Next/audio",
            description="An empty latent for sound of a length in seconds, in the frames of a Lumina audio model.",
            search_aliases=(
                "empty latent audio, seconds, duration, length, audio length, 音频长度, 时长, 秒数, 長さ, 秒数指定"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="From Load Lumina Audio Model."),
                io.Float.Input(
                    "seconds",
                    default=9.98,
                    min=0.1,
                    max=MOST_SECONDS,
                    step=0.01,
                    tooltip="Length of the sound. The released models were trained on 9.98 seconds, the demo's on "
                    "less; the node warns above that, and says the exact length.",
                ),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=64, tooltip="Number of sounds, each with noise of its own."
                ),
            ],
            outputs=[
                io.Latent.Output(tooltip="For any sampler."),
                io.Float.Output("length", tooltip="The exact length in seconds."),
            ],
        )

    @classmethod
    def execute(cls, model, seconds: float, batch_size: int) -> io.NodeOutput:
        latent, exact, warning = audio.empty_audio(model, seconds, batch_size)
        if warning:
            logging.warning(warning)
        tell(warning or f"{exact:.2f} s, {latent['samples'].shape[-1]} frames")
        return io.NodeOutput(latent, exact)
