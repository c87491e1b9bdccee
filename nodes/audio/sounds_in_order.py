from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.patches.sounds_in_order import encode_in_order


class SoundsInOrder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextSoundsInOrder",
            display_name="Encode Sounds in Order",
            category="Lumina-Next/audio",
            description="Encodes what is heard one after the other so that each sound comes in its part of the time "
            "and only there, by a prompt for each. In place of CLIP Text Encode, for Lumina's audio models.",
            search_aliases=(
                "sound order, sequence of sounds, sounds one after another, timeline, audio prompt, clip text encode, "
                "temporal, 声音顺序, 时间轴, 聲音順序, 音の順番, タイムライン"
            ).split(", "),
            inputs=[
                io.Clip.Input("clip", tooltip="From Load Lumina Audio Model."),
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="",
                    tooltip="An English sentence with words for order (then, followed by, before), or the output of "
                    "Structured Caption. Of a single sound it is encoded as by CLIP Text Encode.",
                ),
                io.Float.Input(
                    "areas_until",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    **ADVANCED,
                    tooltip="Until this fraction of the sampling each part is made as a sound of its own; after it, "
                    "attention makes them one. 0: attention only.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For KSampler.")],
        )

    @classmethod
    def execute(cls, clip, caption: str, areas_until: float = 0.3) -> io.NodeOutput:
        conditioning, told = encode_in_order(clip, caption, areas_until)
        tell(told)
        return io.NodeOutput(conditioning)
