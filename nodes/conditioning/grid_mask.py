from comfy_api.latest import io

from ...nextdit.regions import grid_cell


class GridMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextGridMask",
            display_name="Grid Mask",
            category="Lumina-Next/conditioning",
            description="The mask of one cell of a grid of rows and columns, with soft edges towards its neighbours. "
            "The masks of all cells add up to 1 everywhere. For Regional Prompt or any node that takes a mask.",
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
            ],
            outputs=[io.Mask.Output(tooltip="1 in the cell, 0 in the others.")],
        )

    @classmethod
    def execute(cls, rows: int, columns: int, row: int, column: int, feather: float, width: int, height: int):
        mask = grid_cell(rows, columns, row - 1, column - 1, height, width, feather)
        return io.NodeOutput(mask.unsqueeze(0))
