from comfy_api.latest import io

from ..adapter.audio.splicing import splice_audio
from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema


class SpliceAudio(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextSpliceAudio",
            display_name="Splice Audio",
            category="Lumina-Next/audio",
            description="A stretch of one sound in another: what was made anew in the original recording, which stays "
            "as it is everywhere else, with its sample rate and channels.",
            search_aliases=(
                "replace part of audio, paste audio, composite audio, crossfade, audio inpainting, merge audio, insert "
                "audio, 音频替换, 音频拼入, 交叉淡化, 音声の差し替え, クロスフェード"
            ).split(", "),
            inputs=[
                io.Audio.Input("original", tooltip="The sound that stays outside of the stretch, such as a recording."),
                io.Audio.Input("changed", tooltip="The sound that the stretch is taken from, at the same place."),
                io.Float.Input(
                    "start", default=1.0, min=0.0, max=600.0, step=0.01, tooltip="Where it begins, in seconds."
                ),
                io.Float.Input(
                    "end",
                    default=2.0,
                    min=0.0,
                    max=600.0,
                    step=0.01,
                    tooltip="Where it ends, in seconds; 0 is the end of the changed sound.",
                ),
                io.Float.Input(
                    "fade",
                    default=0.01,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    **ADVANCED,
                    tooltip="Seconds in which one goes over into the other at both ends.",
                ),
            ],
            outputs=[io.Audio.Output(tooltip="The original with the stretch in it.")],
        )

    @classmethod
    def execute(cls, original, changed, start: float, end: float, fade: float) -> io.NodeOutput:
        audio, told = splice_audio(original, changed, start, end, fade)
        tell(told)
        return io.NodeOutput(audio)
