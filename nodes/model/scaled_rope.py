from comfy_api.latest import io, ui

from ...nextdit.layers.rope_scaling import DEFAULT, METHODS
from ..adapter.host.inputs import choice, chosen, parameter_inputs
from ..adapter.host.schema import schema
from ..adapter.patches import scaled_rope

METHOD = (
    "How the frequencies of RoPE change. auto chooses by the model, and says on the node "
    "what it took and why. The node's help explains each."
)
PARAMETERS = {method.name: [parameter.name for parameter in method.parameters] for method in METHODS.values()}


def _method_inputs() -> dict[str, list[io.Input]]:
    # the default comes first: dropdowns with inputs of their own open on their first entry
    order = sorted(METHODS.values(), key=lambda method: method.name != DEFAULT)
    return {method.name: parameter_inputs(method) for method in order}


class ScaledRope(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextScaledRope",
            display_name="Scaled RoPE",
            category="Lumina-Next/model patches",
            description="Images larger than a model was trained on: scales its position embedding (RoPE) by the size "
            "of the latent being sampled. For Lumina-Next, and ComfyUI's own Lumina-Image-2.0, NewBie, Z-Image, "
            "Ming-Image, Qwen-Image, Qwen-Image-2.1, Mage-Flow, Krea 2, FLUX.1, FLUX.2, Chroma, Lens, "
            "HunyuanImage-2.1, HunyuanVideo, OmniGen2, Boogu-Image, HiDream-I1, ERNIE-Image, Wan and Kandinsky 5. "
            "Within the sizes that a model is native to it changes nothing, and says so.",
            search_aliases=(
                "DyPE, NTK, YaRN, RoPE, high resolution, high res, hires, higher resolution, larger images, "
                "upscale, 2K, 4K, extrapolation, interpolation, position interpolation, position embedding, "
                "rotary, rotary embedding, ultra high resolution, panorama, 高分辨率, 超分辨率, 大图, "
                "高解析度, 高解像度, 位置编码, 位置エンコーディング, パノラマ"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A Lumina-Next model, or one of ComfyUI's own that the node knows."),
                *choice("method", _method_inputs(), tooltip=METHOD),
                io.Combo.Input(
                    "factor",
                    options=["area", "per_axis"],
                    default="area",
                    tooltip="area: one factor from the number of pixels, as the released code does. per_axis: height "
                    "and width each by its own factor, for panoramas.",
                ),
                io.Boolean.Input(
                    "proportional_attention",
                    default=False,
                    tooltip="Also sharpen self-attention as the number of image tokens grows, as the released demos do "
                    "at 2K.",
                ),
                io.Int.Input(
                    "train_size",
                    default=0,
                    min=0,
                    max=16384,
                    step=8,
                    tooltip="Side in pixels of the largest square the model was trained on. 0 takes it from the model: "
                    "the node's help has the sizes. For Z-Image-Turbo, whose makers show it up to 1536, set 1536 to "
                    "scale from there on; for Boogu-Image's Turbo set 1024.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Only for the picture on the node, which shows twice the native size without it. "
                    "Sampling always uses the size of the latent it gets.",
                ),
            ],
            is_output_node=True,  # runs without a sampler, to be looked at
            outputs=[io.Model.Output(tooltip="The model with this scaling, for any sampler or further patch.")],
        )

    @classmethod
    def execute(
        cls, model, method, factor: str, proportional_attention: bool, train_size: int, latent=None, **flat
    ) -> io.NodeOutput:
        name, options = chosen("method", method, flat, PARAMETERS)
        per_axis = factor == "per_axis"
        patched, settings = scaled_rope.scale_rope(
            model, name, train_size, per_axis=per_axis, proportional=proportional_attention, **options
        )
        picture = scaled_rope.draw_readout(model, settings, latent)
        return io.NodeOutput(patched, ui=ui.PreviewImage(picture, cls=cls))
