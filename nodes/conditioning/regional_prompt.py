from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.patches import regions

MATHS = ["normalised", "reference"]
AREAS_UNTIL = 0.3  # of new nodes, measured in docs/regions.md
EMPTY = "the mask is empty, so the region is nowhere. Load Image makes such a mask of an image without transparency"


class RegionalPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextRegionalPrompt",
            display_name="Regional Prompt",
            category="Lumina-Next/conditioning",
            description="Adds a prompt that only a part of the picture attends to, in one pass of the model: the parts "
            "still see each other. Chain one node a region. For Lumina-Next, Z-Image, Lumina-Image-2.0, Qwen-Image, "
            "Mage-Flow, Krea 2, FLUX, Chroma and Wan; other models say that they cannot.",
            search_aliases=(
                "area prompt, regional, region, regions, area conditioning, prompt by area, "
                "attention couple, attention mask, compositional, composition, multiple prompts, "
                "latent couple, 区域, 分区提示词, 局部提示词, 區域提示詞, 領域指定, 部分プロンプト"
            ).split(", "),
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="The global prompt: sets the mood of the whole picture, and applies where no region does. "
                    "Or the output of another Regional Prompt.",
                ),
                io.Conditioning.Input(
                    "region",
                    tooltip="The region's prompt. A mask, area, strength or timestep range set on it by stock nodes "
                    "counts too. Combined prompts share the region.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where the prompt applies. Any size: it is stretched to the picture. Greys are soft edges. "
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
                    tooltip="How much the global prompt counts inside the region. 0: only the region's own prompt.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    **ADVANCED,
                    tooltip="Fraction of the sampling after which the region acts. Until then the global prompt has "
                    "its place.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    **ADVANCED,
                    tooltip="Fraction of the sampling after which the region no longer acts.",
                ),
                io.Combo.Input(
                    "maths",
                    options=MATHS,
                    default=MATHS[0],
                    **ADVANCED,
                    tooltip="normalised: overlaps share, uncovered places follow the global prompt. reference: as in "
                    "the official compositional demo, with hard edges, overlaps that add up, and no attention to the "
                    "global prompt; for Lumina-Next only, and without areas_until.",
                ),
                io.Float.Input(
                    "areas_until",
                    default=AREAS_UNTIL,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,  # workflows from before it run as they did
                    tooltip="Until this fraction of the sampling each region is drawn as a picture of its own, which "
                    "puts things in their places; after it, attention makes them one picture. 0: attention only. The "
                    "last node of a chain decides for all.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="For the sampler, or for the next Regional Prompt.")],
        )

    @classmethod
    def execute(
        cls, conditioning, region, maths: str, mask=None, areas_until: float = 0.0, **settings: float
    ) -> io.NodeOutput:
        if mask is not None and not mask.any():
            tell(EMPTY)
        summed = maths == "reference"
        return io.NodeOutput(regions.add_region(conditioning, region, mask, summed, areas_until, **settings))
