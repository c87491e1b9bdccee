from comfy_api.latest import io

from ...nextdit.imagenet import imagenet_choices
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..adapter.models import class_image

FIRST = 207


class ClassLabel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        choices = imagenet_choices()
        return schema(
            node_id="LuminaNextClassLabel",
            display_name="Class Label",
            category="Lumina-Next/conditioning",
            description="What a class-conditional model is to draw, in place of CLIP Text Encode: one of ImageNet's "
            "classes, or of the model's own. Conditioning (Average) mixes two.",
            search_aliases=(
                "imagenet, class, category, class conditional, dit, 类别, 类别标签, 類別, クラス, クラスラベル"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A class-conditional Next-DiT or Flag-DiT."),
                io.Combo.Input(
                    "imagenet_class",
                    options=choices,
                    default=choices[FIRST],
                    tooltip="One of the 1000 classes: open the list and type a part of its name or its number.",
                ),
                io.String.Input(
                    "labels",
                    default="",
                    tooltip="Names or numbers, used in place of the list above if there are any. Several between "
                    "commas go to the pictures of a batch in turn. For models with classes of their own, too.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The class."),
                io.Conditioning.Output(display_name="negative", tooltip="No class: what cfg steers away from."),
            ],
        )

    @classmethod
    def validate_inputs(cls, imagenet_class: str) -> bool:
        # the number counts: another torchvision may call the class otherwise
        return True

    @classmethod
    def execute(cls, model, imagenet_class: str, labels: str = "") -> io.NodeOutput:
        positive, negative, called = class_image.class_conditioning(model, imagenet_class, labels)
        tell(called)
        return io.NodeOutput(positive, negative)
