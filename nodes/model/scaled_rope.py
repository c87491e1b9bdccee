from comfy_api.latest import io, ui

from ...nextdit.layers.rope import DEFAULT, METHODS, RopeScaling
from ..adapter.host.inputs import choice, chosen
from ..adapter.patches import scaled_rope

KINDS = {
    "extrapolation": "frequencies as they are (repeats the object past the training size)",
    "interpolation": "all positions squeezed into the training range",
    "ntk_aware": "a larger base: high frequencies kept, the lowest interpolated",
    "frequency_aware": "frequencies longer than the training image interpolated, the rest changed little",
    "time_aware": "the paper's continuous form: interpolation in noise, frequencies returning as the image forms",
    "time_aware_watershed": "the released code's form: interpolation before the watershed, a larger base after it",
    "time_aware_late": "this pack's form: interpolation of all frequencies until the layout stands, then ntk_aware",
}
BEST = (
    "Measured best with 16 positions per axis in training (the demo): time_aware_late. With 64 (the released models) "
    "nothing was measured here; the paper reports time_aware as best."
)
TIMES = {
    "watershed": "Time at which it switches: 0 is pure noise, 1 the finished image. The released demos use 0.3.",
    "return_from": "Time at which frequencies begin to return: 0 is pure noise, 1 the finished image. At 1 they never "
    "do: interpolation. Later if objects repeat, earlier if edges are hatched.",
    "return_to": "Time at which all have returned. Not before return_from.",
}
OPTIONS = dict.fromkeys(METHODS, []) | {
    "time_aware_watershed": ["watershed"],
    "time_aware_late": ["return_from", "return_to"],
}


def _method_inputs() -> dict[str, list[io.Input]]:
    def time(name: str) -> io.Input:
        default = getattr(RopeScaling, name)
        return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=TIMES[name])

    # the default comes first: dropdowns with inputs of their own open on their first entry
    order = sorted(METHODS, key=lambda method: method != DEFAULT)
    return {method: [time(name) for name in OPTIONS[method]] for method in order}


class ScaledRope(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextScaledRope",
            display_name="Scaled RoPE",
            category="Lumina-Next/model",
            description="Images larger than a model was trained on: scales its position embedding (RoPE) by the size "
            "of the latent being sampled. For Lumina-Next, Lumina-Image-2.0 and Z-Image. Up to the training size it "
            "changes nothing.",
            inputs=[
                io.Model.Input("model", tooltip="A Lumina-Next, Lumina-Image-2.0 or Z-Image model."),
                *choice(
                    "method",
                    _method_inputs(),
                    tooltip=" ".join([BEST, *(f"{name}: {what}." for name, what in KINDS.items())]),
                ),
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
                    tooltip="Side in pixels of the square images the model was trained on. 0 takes it from the model "
                    "(1024 for the released ones).",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="Only for the picture on the node, which shows twice the training size without it. "
                    "Sampling always uses the size of the latent it gets.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="The model with this scaling, for any sampler or further patch.")],
        )

    @classmethod
    def execute(
        cls, model, method, factor: str, proportional_attention: bool, train_size: int, latent=None, **flat
    ) -> io.NodeOutput:
        name, options = chosen("method", method, flat, OPTIONS)
        per_axis = factor == "per_axis"
        patched, settings = scaled_rope.scale_rope(
            model, name, train_size, per_axis=per_axis, proportional=proportional_attention, **options
        )
        picture = scaled_rope.draw_readout(model, settings, latent)
        return io.NodeOutput(patched, ui=ui.PreviewImage(picture, cls=cls))
