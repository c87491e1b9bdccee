from comfy_api.latest import io

from ..adapter.patches import regions

MATHS = ["normalised", "reference"]


class RegionalPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextRegionalPrompt",
            display_name="Regional Prompt",
            category="Lumina-Next/conditioning",
            description="Adds a prompt that only a part of the picture attends to, in one pass of the model: the parts "
            "still see each other. Chain one node a region. Only Lumina-Next models take it; others say so.",
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The global prompt: sets the mood of the whole picture, and is heard where no region is. "
                    "Or the output of another Regional Prompt.",
                ),
                io.Conditioning.Input(
                    "region",
                    tooltip="The region's prompt. Mask, area, strength and timestep range that stock nodes set on it "
                    "count too. Several prompts combined share the place.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the prompt is heard, of any size: stretched to the picture. Greys are soft edges. "
                    "Without one: everywhere, or where the region's own mask or area is.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Weight against other regions where they overlap. Below 1 the global prompt has the rest.",
                ),
                io.Float.Input(
                    "global_weight",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the region in which the global prompt is heard as well. 0: only the region's.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Part of the sampling after which the region acts. Before it, its place is the global "
                    "prompt's.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Part of the sampling after which the region acts no more.",
                ),
                io.Combo.Input(
                    "maths",
                    options=MATHS,
                    default=MATHS[0],
                    tooltip="normalised: overlaps share, uncovered places hear the global prompt. reference: as the "
                    "official compositional demo: hard edges, overlaps add up, nobody attends to the global prompt.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For the sampler, or for the next Regional Prompt.")],
        )

    @classmethod
    def execute(cls, conditioning, region, maths: str, mask=None, **settings: float) -> io.NodeOutput:
        return io.NodeOutput(regions.add_region(conditioning, region, mask, maths == "reference", **settings))
