from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points


class PointAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextPointAttention",
            display_name="Point Attention",
            category="Lumina-Next/points",
            description="Proportional attention for a model of points: with more points than in training, attention is "
            "sharpened so that every point looks at as few others as it did then.",
            search_aliases=(
                "proportional attention, more points, attention scale, density, 比例注意力, 比例アテンション"
            ).split(", "),
            inputs=[io.Model.Input("model", tooltip="A Lumina-Next model of points.")],
            outputs=[io.Model.Output(tooltip="For any sampler.")],
        )

    @classmethod
    def execute(cls, model) -> io.NodeOutput:
        return io.NodeOutput(points.with_proportional_attention(model))
