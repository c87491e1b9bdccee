from comfy_api.latest import io

from ...nextdit.clouds.shape import UPS
from ..adapter.host import clouds
from ..adapter.host.schema import schema


class LoadPoints(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadPoints",
            display_name="Load Points",
            category="Lumina-Next/points",
            description="Read a point cloud from ComfyUI's input folder, to vary, complete or densify it. PLY, XYZ "
            "(txt, csv, pts), NPY, and the vertices of OBJ files.",
            search_aliases="import point cloud, ply, xyz, csv, npy, obj, load 3d, 导入点云, 点群を読み込む".split(", "),
            inputs=[
                io.Combo.Input(
                    "file",
                    options=clouds.names(),
                    tooltip="A file in input or input/3d. Press R in the editor to read the list again.",
                ),
                io.Combo.Input(
                    "up",
                    options=list(UPS),
                    default="y",
                    tooltip="Which axis points up in the file. The front is then "
                    "z in files with y up, and x in files with z up.",
                ),
                io.Boolean.Input(
                    "fit",
                    default=True,
                    tooltip="Move and scale the cloud to where the model expects one: centred, its longest side from "
                    "-1 to 1. Points to File moves it back. Turn it off for a part of a cloud that lies there already.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="points", tooltip="For Complete Points, or any sampler with denoise < 1."
                ),
                io.Int.Output(display_name="count", tooltip="Number of points."),
            ],
        )

    @classmethod
    def execute(cls, file: str, up: str, fit: bool) -> io.NodeOutput:
        latent = clouds.load(file, up, fit)
        return io.NodeOutput(latent, latent["samples"].shape[-1])

    @classmethod
    def fingerprint_inputs(cls, file: str, up: str, fit: bool):
        return clouds.fingerprint(file)
