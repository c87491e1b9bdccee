from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points

MOST = 1_048_576


def count_input(default: int, tooltip: str) -> io.Int.Input:
    """Return the input of a number of points."""
    return io.Int.Input("count", default=default, min=1, max=MOST, step=1, tooltip=tooltip)


class EmptyPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextEmptyPoints",
            display_name="Empty Points",
            category="Lumina-Next/points",
            description="An empty latent for a point cloud of any number of points, for KSampler and a Lumina-Next "
            "model of points.",
            search_aliases=("point cloud, empty latent points, 3d, number of points, text to 3d, 点云, 点群").split(
                ", "
            ),
            inputs=[
                count_input(
                    2048,
                    "Points of a cloud. The model in the box was trained with 256 and makes any number. Time grows "
                    "with the square: 8192 take about ten times as long as 2048.",
                ),
                io.Int.Input(
                    "batch_size", default=1, min=1, max=512, tooltip="Number of clouds, each with noise of its own."
                ),
            ],
            outputs=[io.Latent.Output(display_name="points", tooltip="For any sampler.")],
        )

    @classmethod
    def execute(cls, count: int, batch_size: int) -> io.NodeOutput:
        return io.NodeOutput(points.empty_points(count, batch_size))
