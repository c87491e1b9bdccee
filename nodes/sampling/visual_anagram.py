from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.sampling import anagram

SLOTS = {1: "identity", 2: "rotate_180", 3: "flip_horizontal", 4: "rotate_90"}
REQUIRED = 2


def _slot(number: int, view: str) -> list[io.Input]:
    optional = number > REQUIRED
    when = f" Counts only with positive_{number} connected." if optional else ""
    return [
        io.Conditioning.Input(
            f"positive_{number}", optional=optional, tooltip=f"What is seen after view_{number} is done to the picture."
        ),
        io.Combo.Input(
            f"view_{number}",
            options=list(anagram.VIEWS),
            default=view,
            tooltip=f"How the picture is turned to see positive_{number}; rotations are clockwise.{when}",
        ),
    ]


class VisualAnagram(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        slots = [_slot(number, view) for number, view in SLOTS.items()]
        return schema(
            node_id="LuminaNextVisualAnagram",
            display_name="Visual Anagram",
            category="Lumina-Next/sampling",
            description="One picture that shows something else when it is flipped or turned: predicts it from every "
            "view with that view's prompt and averages. For any flow model and SamplerCustomAdvanced.",
            search_aliases=(
                "illusion, optical illusion, anagram, ambigram, flip, upside down, rotate, "
                "multi-view illusion, 错觉, 视错觉, 双关图, 翻转, 錯覺, 錯視, だまし絵"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="Any text-to-image flow model, with its LoRAs and patches."),
                *(conditioning for conditioning, _ in slots),
                io.Conditioning.Input("negative", tooltip="The negative prompt of every view."),
                *(view for _, view in slots),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Guidance away from the negative prompt, in each view on its own. 1 is none.",
                ),
            ],
            outputs=[io.Guider.Output(tooltip="For SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, model, negative, cfg: float, **slots) -> io.NodeOutput:
        connected = [number for number in SLOTS if slots.get(f"positive_{number}") is not None]
        views = [(slots[f"view_{number}"], slots[f"positive_{number}"]) for number in connected]
        return io.NodeOutput(anagram.anagram_guider(model, views, negative, cfg))
