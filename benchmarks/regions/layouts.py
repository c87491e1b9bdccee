"""Where the regions of a picture lie, what is asked for in them, and where their borders are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...nextdit.regions import grid_cell
from ...training.data.emoji.concepts import LEFT_OF
from ..shared.sections import BASE


@dataclass(frozen=True)
class Layout:
    """A grid of prompts in one picture, each on side × side pixels."""

    name: str
    rows: int
    columns: int
    side: int = BASE

    @property
    def size(self) -> tuple[int, int]:
        return self.rows * self.side, self.columns * self.side

    @property
    def count(self) -> int:
        """How many concepts a picture has."""
        return self.rows * self.columns

    def cells(self, x: Tensor) -> list[Tensor]:
        """Cut pictures (B, C, H, W) into their cells, row by row."""
        return [cell for row in x.chunk(self.rows, -2) for cell in row.chunk(self.columns, -1)]

    def join(self, cells: list[Tensor]) -> Tensor:
        """Undo `cells`."""
        rows = [torch.cat(cells[i : i + self.columns], -1) for i in range(0, len(cells), self.columns)]
        return torch.cat(rows, -2)

    def masks(self) -> Tensor:
        """Return the cells' masks (1, R, H, W)."""
        places = [(row, column) for row in range(self.rows) for column in range(self.columns)]
        return torch.stack([grid_cell(self.rows, self.columns, *place, *self.size) for place in places])[None]

    def texts(self, names: list[str]) -> list[str]:
        """Return the global prompt, which is the demo's words for two side by side, else the names in a row, then the
        regions'."""
        if (self.rows, self.columns) == (1, 2):
            return [LEFT_OF["en"][0].format(a=names[0], b=names[1]), *names]
        return [" ".join(names), *names]

    def borders(self, x: Tensor) -> Tensor:
        """Return how much pictures (N, 3, H, W) in [-1, 1] change across the borders of the cells (N,)."""
        steps = []
        for axis, count in ((-2, self.rows), (-1, self.columns)):
            for edge in range(1, count):
                before, after = (x.select(axis, self.side * edge - back) for back in (1, 0))
                steps.append((after - before).abs().mean(dim=(1, 2)))
        return torch.stack(steps).mean(dim=0)


@dataclass(frozen=True)
class Inset(Layout):
    """A wide picture of a concept on the left, by the global prompt, with a region for another near the right edge."""

    count = 2

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the region: a square of a side, an eighth of it from the right edge."""
        right = self.columns * self.side - self.side // 8
        return slice(0, self.side), slice(right - self.side, right)

    def cells(self, x: Tensor) -> list[Tensor]:
        return [x[..., : self.side], x[..., self.box[0], self.box[1]]]

    def masks(self) -> Tensor:
        mask = torch.zeros(1, 1, *self.size)
        mask[..., self.box[0], self.box[1]] = 1.0
        return mask

    def beside(self) -> Tensor:
        """Return the mask (1, 1, H, W) of all to the left of the region."""
        mask = torch.zeros(1, 1, *self.size)
        mask[..., : self.box[1].start] = 1.0
        return mask

    def texts(self, names: list[str]) -> list[str]:
        return [f"{names[0]} on the left", names[1]]

    def borders(self, x: Tensor) -> Tensor:
        columns = self.box[1]
        steps = [(x[..., edge] - x[..., edge - 1]).abs().mean(dim=(1, 2)) for edge in (columns.start, columns.stop)]
        return torch.stack(steps).mean(dim=0)


INSET = Inset("a small region", 1, 3)
LAYOUTS = [Layout("side by side", 1, 2), Layout("one above the other", 2, 1), INSET, Layout("2×2", 2, 2)]
