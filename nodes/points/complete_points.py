from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points as clouds
from .empty_points import count_input


class CompletePoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextCompletePoints",
            display_name="Complete Points",
            category="Lumina-Next/points",
            description="More points for a cloud: those given stay where they are, and the sampler makes the others "
            "fit in. Completes a part of a cloud, or makes a coarse one dense.",
            search_aliases=(
                "point cloud completion, inpaint points, upsample points, densify, "
                "point cloud upsampling, 点云补全, 点云上采样, 点群補完"
            ).split(", "),
            inputs=[
                io.Latent.Input("points", tooltip="The points that stay: a part of a cloud, or a coarse whole one."),
                count_input(2048, "Points of the finished cloud, those given included."),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="points",
                    tooltip="For any sampler. denoise 1 finds missing parts; 0.3 to 0.6 only makes the cloud dense.",
                )
            ],
        )

    @classmethod
    def execute(cls, points: dict, count: int) -> io.NodeOutput:
        return io.NodeOutput(clouds.completed(points, count))
