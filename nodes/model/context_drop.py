from comfy_api.latest import io

from ...nextdit.context_drop import FADES, ContextDrop
from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.patches import context_drop

POOLING = ["after_rope", "before_rope"]


class DropContext(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextContextDrop",
            display_name="Context Drop",
            category="Lumina-Next/model patches",
            description="Faster sampling of large images: self-attention looks at averaged image keys and values while "
            "there is more noise than image. For Lumina-Next, and ComfyUI's own Lumina-Image-2.0, NewBie, Z-Image, "
            "Ming-Image, Qwen-Image, Qwen-Image-2.1, Mage-Flow, Krea 2, FLUX.1, FLUX.2, Chroma, Lens, "
            "HunyuanImage-2.1, HunyuanVideo, Wan and Kandinsky 5. Text and reference images are never averaged.",
            search_aliases=(
                "token merge, token merging, ToMe, tomesd, hypertile, faster, faster sampling, speed up, "
                "acceleration, sparse attention, attention pooling, kv downsampling, 加速, 提速, 令牌合并, "
                "高速化"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A Lumina-Next model, or one of ComfyUI's own that the node knows."),
                io.Int.Input(
                    "window",
                    default=2,
                    min=1,
                    max=8,
                    tooltip="Keys and values are averaged over windows of this many tokens in height and width: 2 "
                    "drops 75 % of them. 1 turns it off.",
                ),
                io.Combo.Input(
                    "fade",
                    options=list(FADES),
                    default="linear",
                    tooltip="linear: all layers drop in pure noise, fewer and fewer as the image forms, none at its "
                    "end. none: all layers at every step.",
                ),
                io.Combo.Input(
                    "pooling",
                    options=POOLING,
                    default=POOLING[0],
                    **ADVANCED,
                    tooltip="Average keys after their rotation by RoPE, as the released code does, or before it. "
                    "Before works with Lumina-Next only.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    **ADVANCED,
                    tooltip="Fraction of the sampling after which dropping begins.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    **ADVANCED,
                    tooltip="Fraction of the sampling after which dropping ends.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model that drops context, for any sampler or further patch.")],
        )

    @classmethod
    def execute(
        cls, model, window: int, fade: str, pooling: str, start_percent: float, end_percent: float
    ) -> io.NodeOutput:
        kept = "nothing is dropped" if window == 1 else f"{1 - 1 / window**2:.0%} of image keys and values are dropped"
        tell(kept if window == 1 or fade == "none" else f"{kept} in pure noise, none at the end")
        drop = ContextDrop(window, fade, before_rope=pooling == "before_rope")
        return io.NodeOutput(context_drop.drop_context(model, drop, start_percent, end_percent))
