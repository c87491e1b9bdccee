from comfy_api.latest import io

from ..adapter.host.schema import schema
from ..adapter.models import points as clouds

AXES = ["front", "left", "up"]


class CutPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        def limit(name: str, default: float, tooltip: str) -> io.Float.Input:
            return io.Float.Input(name, default=default, min=-2.0, max=2.0, step=0.05, tooltip=tooltip)

        return schema(
            node_id="LuminaNextCutPoints",
            display_name="Cut Points",
            category="Lumina-Next/points",
            description="Keep the part of a point cloud between two planes, for Complete Points to make the rest anew.",
            search_aliases=("crop point cloud, clip points, half, slice, part of a cloud, 裁剪点云, 点群を切る").split(
                ", "
            ),
            inputs=[
                io.Latent.Input("points", tooltip="One cloud."),
                io.Combo.Input(
                    "axis", options=AXES, default="up", tooltip="Which way the planes look. Objects face to the front."
                ),
                limit("start", -2.0, "Where the part begins. A cloud goes from -1 to 1 along its longest side."),
                limit("end", 0.0, "Where the part ends."),
            ],
            outputs=[
                io.Latent.Output(display_name="points", tooltip="The part."),
                io.Int.Output(display_name="count", tooltip="Number of points that are left."),
            ],
        )

    @classmethod
    def execute(cls, points: dict, axis: str, start: float, end: float) -> io.NodeOutput:
        latent = clouds.cut(points, AXES.index(axis), start, end)
        return io.NodeOutput(latent, latent["samples"].shape[-1])
