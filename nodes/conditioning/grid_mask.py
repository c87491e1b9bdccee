from comfy_api.latest import io, ui

from ...nextdit.regions import grid_cell
from ..adapter.host.schema import schema
from ..adapter.models.train_size import latent_size
from ..drawing.cells import draw_cell


class GridMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextGridMask",
            display_name="Grid Mask",
            category="Lumina-Next/mask",
            description="The mask of one cell of a grid of rows and columns, with soft edges towards its neighbours. "
            "The masks of all cells add up to 1 everywhere. For Regional Prompt or any node that takes a mask.",
            search_aliases=(
                "grid, cell mask, region mask, split mask, mask cell, rows and columns, half mask, "
                "rectangle mask, feather, 遮罩, 蒙版, 网格, 分区遮罩, マスク, グリッド, 領域マスク"
            ).split(", "),
            inputs=[
                io.Int.Input("rows", default=1, min=1, max=16, tooltip="Cells from top to bottom."),
                io.Int.Input("columns", default=2, min=1, max=16, tooltip="Cells from left to right."),
                io.Int.Input("row", default=1, min=1, max=16, tooltip="This cell's row, 1 at the top."),
                io.Int.Input("column", default=1, min=1, max=16, tooltip="This cell's column, 1 on the left."),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Width of the soft edge between two cells, in parts of a cell. 0 is a hard edge; the "
                    "picture's own border is never softened.",
                ),
                io.Int.Input(
                    "width",
                    default=1024,
                    min=16,
                    max=16384,
                    step=8,
                    tooltip="Width of the mask. Regional Prompt takes any and stretches it to the picture.",
                ),
                io.Int.Input("height", default=1024, min=16, max=16384, step=8, tooltip="Height of the mask."),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latent that is sampled: the mask takes its size, and width and height do not count.",
                ),
            ],
            is_output_node=True,  # runs alone, to be looked at
            outputs=[io.Mask.Output(tooltip="1 in the cell, 0 in the others.")],
        )

    @classmethod
    def execute(
        cls, rows: int, columns: int, row: int, column: int, feather: float, width: int, height: int, latent=None
    ) -> io.NodeOutput:
        if latent is not None:
            height, width = latent_size(latent)
        mask = grid_cell(rows, columns, row - 1, column - 1, height, width, feather)
        caption = f"row {row} of {rows}, column {column} of {columns}: yellow is 1. {width} x {height} pixels"
        picture = draw_cell(mask, rows, columns, caption)
        return io.NodeOutput(mask.unsqueeze(0), ui=ui.PreviewImage(picture, cls=cls))
