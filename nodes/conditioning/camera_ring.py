from comfy_api.latest import io

from ..adapter.host.progress import tell
from ..adapter.host.schema import schema
from ..drawing.cameras import azimuth_text, ring

DIRECTIONS = ["counter-clockwise", "clockwise"]


class CameraRing(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextCameraRing",
            display_name="Camera Ring",
            category="Lumina-Next/multi-view",
            description="Evenly spaced cameras around an object, for Multi-View Conditioning. All look down from "
            "the elevation that the checkpoint was trained at: 20° for the one in the box.",
            search_aliases=(
                "turntable, orbit, camera, cameras, azimuth, 360, ring of cameras, camera path, "
                "camera trajectory, 转台, 环绕, 相机, 环拍, ターンテーブル, カメラ, 周回"
            ).split(", "),
            inputs=[
                io.Int.Input(
                    "views",
                    default=8,
                    min=1,
                    max=128,
                    tooltip="Number of cameras. All views share one pass of the model: time and memory grow with them.",
                ),
                io.Float.Input(
                    "first_azimuth",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=1.0,
                    tooltip="Where the first camera stands, in degrees around the object. 0 is where the condition "
                    "image was taken; from text alone only differences between azimuths count.",
                ),
                io.Combo.Input(
                    "direction",
                    options=DIRECTIONS,
                    default=DIRECTIONS[0],
                    tooltip="Which way the cameras go around the object, seen from above.",
                ),
                io.Float.Input(
                    "span",
                    default=360.0,
                    min=0.0,
                    max=360.0,
                    step=1.0,
                    tooltip="Degrees from the first camera to the last. 360 is the whole circle, closed: the last "
                    "camera stands one step before the first.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="azimuths", tooltip="Degrees, for Multi-View Conditioning."),
                io.Int.Output(display_name="views", tooltip="Number of cameras."),
            ],
        )

    @classmethod
    def execute(cls, views: int, first_azimuth: float, direction: str, span: float) -> io.NodeOutput:
        azimuths = ring(views, first_azimuth, span, direction == "clockwise")
        tell(azimuth_text(azimuths))
        return io.NodeOutput(azimuth_text(azimuths), views)
