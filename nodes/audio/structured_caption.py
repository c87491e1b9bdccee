from comfy_api.latest import io

from ...nextdit import captions
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema


class StructuredCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextStructuredCaption",
            display_name="Structured Caption",
            category="Lumina-Next/audio",
            description="Says which sound is heard when, for Lumina-T2Audio and the sound model in this pack: from "
            "fields, or from an English sentence by its words for order (then, followed by, before, at the end, in the "
            "background).",
            search_aliases=(
                "sound order, sequence of sounds, temporal caption, when, start, middle, end, prompt, audio prompt, "
                "several sounds, 声音顺序, 结构化描述, 音の順番, 構造化キャプション"
            ).split(", "),
            inputs=[
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="",
                    tooltip="A sentence. If the fields below are empty, the order is read from it.",
                ),
                *(
                    io.String.Input(
                        name,
                        default="",
                        optional=True,
                        tooltip=f"What is heard {place}; several sounds are parted by semicolons.",
                    )
                    for name, place in PLACES.items()
                ),
            ],
            outputs=[
                io.String.Output("prompt", tooltip="Sentence and structured caption, for CLIP Text Encode."),
                io.String.Output("structured", tooltip="The structured caption alone."),
            ],
        )

    @classmethod
    def execute(cls, caption: str, throughout="", start="", middle="", end="") -> io.NodeOutput:
        heard = dict(zip(captions.WHEN, (throughout, start, middle, end), strict=True))
        said = captions.prompt_from_fields(caption, heard)
        tell(said.structured or "nothing is heard: an empty prompt")
        return io.NodeOutput(f"{said.caption}\n{said.structured}".strip(), said.structured)


PLACES = {
    "throughout": "all the time",
    "start": "in the first third",
    "middle": "in the middle",
    "end": "in the last third",
}
