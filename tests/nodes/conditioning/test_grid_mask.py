"""Grid Mask as a node."""

from lumina_next.nodes.conditioning.grid_mask import GridMask


def test_the_grid_node():
    mask = GridMask.execute(2, 2, 2, 1, 0.0, 32, 16).result[0]
    assert mask.shape == (1, 16, 32) and mask[0, 8:, :16].min() == 1.0 and mask.sum() == 8 * 16
