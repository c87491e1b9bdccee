from comfy_api.latest import io

from ...nextdit.stretch import Stretch
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.patches import regions


class TimedPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextTimedPrompt",
            display_name="Timed Prompt",
            category="Lumina-Next/conditioning",
            description="Adds a prompt for a part of the time of a sound or a clip, in one pass of the model: first "
            "this, then that. Chain one node a part. For Lumina-Next's models of sounds and clips, and Wan.",
            search_aliases=(
                "prompt travel, prompt schedule, timeline, prompt scheduling, temporal prompt, keyframe prompt, "
                "regional, sequence, 时间轴, 提示词时间, 分时提示词, 提示詞排程, タイムライン, 時間指定"
            ).split(", "),
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The global prompt: says what the whole is, and applies where no part has a prompt. Or the "
                    "output of another Timed Prompt or Regional Prompt.",
                ),
                io.Conditioning.Input("timed", tooltip="The prompt for this part."),
                io.Float.Input(
                    "begins",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where the part begins: 0 is the beginning of the sound or clip, 1 its end.",
                ),
                io.Float.Input(
                    "ends", default=0.5, min=0.0, max=1.0, step=0.01, tooltip="Where it ends, counted in the same way."
                ),
                io.Float.Input(
                    "fade",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How long one prompt passes into the next, as a part of the whole; half of it lies within "
                    "this part. 0: at once.",
                ),
                io.Float.Input(
                    "areas_until",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Until this fraction of the sampling each part is made as a sound or clip of its own, "
                    "which puts things in their time; after it, attention makes them one. 0: attention only. The last "
                    "node of a chain decides for all.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where in the picture of a clip the prompt applies; without one, everywhere. A mask of "
                    "several images is one a frame.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    **ADVANCED,
                    tooltip="Weight against other parts where they overlap. Below 1 the global prompt has the rest.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For the sampler, or for the next Timed Prompt.")],
        )

    @classmethod
    def execute(
        cls, conditioning, timed, begins: float, ends: float, fade: float, areas_until: float, mask=None, strength=1.0
    ) -> io.NodeOutput:
        stretch = Stretch(begins, ends, fade)
        return io.NodeOutput(
            regions.add_region(conditioning, timed, mask, False, areas_until, stretch, strength=strength)
        )
