from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.patches.seed_variety import vary_seeds


class SeedVariety(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextSeedVariety",
            display_name="Seed Variety",
            category="Lumina-Next/model patches",
            description="For distilled models whose seeds look alike: a run begins on an even colour instead of pure "
            "noise, another one for each seed. For flow models. A run that starts from an image stays as it is.",
            search_aliases=(
                "seed variance, seed variation, diversity, variety, variation, same image every seed, turbo, "
                "noise offset, Z-Image-Turbo, 多样性, 种子多样性, 多様性, シード"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A flow model, such as Z-Image, FLUX or Lumina. Distilled ones gain."),
                io.Float.Input(
                    "strength",
                    default=0.02,
                    min=0.0,
                    max=0.5,
                    step=0.01,
                    tooltip="How much of the colour there is at the start. More makes seeds differ more, and at some "
                    "point objects go wrong. 0 turns it off.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model, for the sampler.")],
        )

    @classmethod
    def execute(cls, model, strength: float) -> io.NodeOutput:
        return io.NodeOutput(vary_seeds(model, strength))
