from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points as clouds
from .empty_points import count_input


class ThinPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextThinPoints",
            display_name="Thin Points",
            category="Lumina-Next/points",
            description="Keep the points of a cloud that lie farthest apart. Sample twice as many as you want and "
            "thin them out: the cloud is evenly dense.",
            search_aliases=(
                "farthest point sampling, fps, downsample points, even density, resample, 最远点采样, 点群を間引く"
            ).split(", "),
            inputs=[
                io.Latent.Input("points", tooltip="One cloud or several."),
                count_input(2048, "Points to keep, at most those that there are."),
            ],
            outputs=[io.Latent.Output(display_name="points", tooltip="The points kept.")],
        )

    @classmethod
    def execute(cls, points: dict, count: int) -> io.NodeOutput:
        return io.NodeOutput(clouds.thinned(points, count))
