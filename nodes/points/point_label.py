from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points


class PointLabel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextPointLabel",
            display_name="Point Label",
            category="Lumina-Next/points",
            description="What a model of labels is to make, in place of CLIP Text Encode. Conditioning (Average) mixes "
            "two labels.",
            search_aliases="class label, shape, category, point cloud prompt, 类别, 点云标签, 点群ラベル".split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A Lumina-Next model of points that was trained with labels."),
                io.String.Input(
                    "label",
                    default="chair",
                    tooltip="A name or a number that the model knows. The one in the box: plane, chair, table, lamp, "
                    "car, ship, mug, house.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The label."),
                io.Conditioning.Output(display_name="negative", tooltip="No label: what cfg steers away from."),
            ],
        )

    @classmethod
    def execute(cls, model, label: str) -> io.NodeOutput:
        return io.NodeOutput(*points.label_conditioning(model, label))
