from comfy_api.latest import io

from ...nextdit.clouds.shape import UPS
from ..adapter.host import clouds
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.models import points as models


class PointsToFile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextPointsToFile",
            display_name="Points to File",
            category="Lumina-Next/points",
            description="A point cloud as a PLY file, one a cloud, for Preview Point Cloud, Save Point Cloud and other "
            "programs. A cloud from Load Points comes back in its own place and size.",
            search_aliases="save point cloud, export ply, ply, file 3d, 导出点云, 点群を保存".split(", "),
            inputs=[
                io.Latent.Input("points", tooltip="One cloud or several."),
                io.Combo.Input(
                    "up",
                    options=list(UPS),
                    default="y",
                    tooltip="Which axis points up in the file: y for ComfyUI's viewers, z for most others. A cloud "
                    "from Load Points keeps its own.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="3d/points",
                    **ADVANCED,
                    tooltip="Only on ComfyUI releases without Save Point Cloud (0.3.64): there this node writes the "
                    "file itself, to the output folder.",
                ),
            ],
            outputs=[clouds.file_output("model_3d", "PLY, binary. On ComfyUI releases without 3D files, its path.")],
            is_output_node=not clouds.HAS_FILES,
        )

    @classmethod
    def execute(cls, points: dict, up: str, filename_prefix: str) -> io.NodeOutput:
        return io.NodeOutput([clouds.to_file(cloud, filename_prefix) for cloud in models.placed(points, up)])
