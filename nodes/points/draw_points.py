from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points as clouds


class DrawPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextDrawPoints",
            display_name="Draw Points",
            category="Lumina-Next/points",
            description="A picture of a point cloud from four sides, one a cloud. What is nearer is darker.",
            search_aliases=(
                "preview point cloud, render points, plot, views of a cloud, 点云预览, 点群プレビュー"
            ).split(", "),
            inputs=[
                io.Latent.Input("points", tooltip="One cloud or several."),
                io.Int.Input("size", default=256, min=32, max=2048, step=8, tooltip="Height of the picture in pixels."),
            ],
            outputs=[io.Image.Output(tooltip="Four times as wide as high.")],
        )

    @classmethod
    def execute(cls, points: dict, size: int) -> io.NodeOutput:
        return io.NodeOutput(clouds.drawn(points, size))
