from comfy_api.latest import io

from ..adapter.host import clouds
from ..adapter.host.schema import schema
from ..adapter.models import points as models


class PointsToVoxels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextPointsToVoxels",
            display_name="Points to Voxels",
            category="Lumina-Next/points",
            description="A point cloud as a grid of cells, for Voxel to Mesh and Save 3D Model.",
            search_aliases="voxelize, mesh, points to mesh, surface, 体素, ボクセル".split(", "),
            inputs=[
                io.Latent.Input("points", tooltip="One cloud or several, of 2048 points or more."),
                io.Int.Input(
                    "cells",
                    default=48,
                    min=8,
                    max=256,
                    tooltip="Cells along each side. More need more points: about one a cell of the surface.",
                ),
                io.Int.Input(
                    "thickness", default=1, min=0, max=8, tooltip="Cells to every side of a point that count as full."
                ),
            ],
            outputs=[io.Voxel.Output(display_name="voxel", tooltip="1 where there is a point, 0 elsewhere.")],
        )

    @classmethod
    def execute(cls, points: dict, cells: int, thickness: int) -> io.NodeOutput:
        return io.NodeOutput(clouds.voxels(models.clouds_of(points), cells, thickness))
