from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.sampling.guidance import guide_channels


class ChannelGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextChannelGuidance",
            display_name="Channel Guidance",
            category="Lumina-Next/sampling",
            description="Classifier-free guidance on the first latent channels only, as Lumina-Next's reference code "
            "does. The other channels follow the positive prompt unguided.",
            search_aliases=(
                "cfg, classifier-free guidance, guidance, guidance scale, guidance channels, cfg channels, "
                "引导, 引导强度, 引導, ガイダンス"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="Any model that is sampled with a negative prompt and cfg above 1."),
                io.Int.Input(
                    "channels",
                    default=3,
                    min=1,
                    max=128,
                    tooltip="How many latent channels are guided. The reference guides 3 of 4; all of them is ordinary "
                    "guidance.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with this guidance; cfg itself is set in the sampler.")],
        )

    @classmethod
    def execute(cls, model, channels: int) -> io.NodeOutput:
        return io.NodeOutput(guide_channels(model, channels))
