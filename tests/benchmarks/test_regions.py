import json

import pytest
import torch

from lumina_next.benchmarks.regions import run as regions
from lumina_next.benchmarks.shared.sections import BASE
from lumina_next.tests.support import untrained_model, untrained_text_encoder


@pytest.mark.parametrize("layout", regions.LAYOUTS, ids=lambda layout: layout.name)
def test_cells_and_masks_name_the_same_places(layout):
    x = torch.randn(2, 3, *layout.size)
    cells, masks = layout.cells(x), layout.masks()[0]
    assert len(cells) == layout.count and len(layout.texts(["a", "b", "c", "d"][: layout.count])) == 1 + len(masks)
    if layout is not regions.INSET:  # whose global prompt draws the first
        assert len(masks) == layout.count and torch.equal(layout.join(cells), x)
    for cell, mask in zip(cells[-len(masks) :], masks, strict=True):
        assert torch.equal(x[..., mask.bool()].flatten(), cell.flatten(-2).flatten())
        assert cell.shape[-2:] == (BASE, BASE)


def test_one_command_writes_tables_and_grids(tmp_path):
    untrained_model.write(tmp_path / "model.safetensors")
    page = tmp_path / "page.md"
    marks = "".join(f"<!-- table: {x} -->\nold\n<!-- end -->\n" for x in ("settings", "side by side", "2×2", "seams"))
    page.write_text(f"before\n\n{marks}\nafter\n", "utf-8")
    regions.main(
        ["--model", str(tmp_path / "model.safetensors"), "--steps", "1", "--pictures", "2"]
        + ["--text-encoder", str(untrained_text_encoder.write(tmp_path / "text_encoder"))]
        + ["--results", str(tmp_path), "--grids", str(tmp_path), "--layouts", "side", "2×2", "--page", str(page)]
    )
    text = page.read_text("utf-8")
    assert text.startswith("before\n\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert "pictures 2," in text and "| Regional Prompt |" in text
    written = json.loads((tmp_path / "regions.json").read_text("utf-8"))["sections"]
    whole = [name for name in regions.METHODS if name != regions.IN_A_PICTURE]
    assert [row["method"] for row in written["side by side"]] == whole
    assert [row["method"] for row in written["2×2"]] == list(regions.OTHER_LAYOUTS)
    assert all(row["regions right, %"]["n"] == 4 for row in written["side by side"])
    assert (tmp_path / "regions-1x2.webp").is_file() and (tmp_path / "regions-2x2.webp").is_file()
