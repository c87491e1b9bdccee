"""Regions as pictures of their own: their boxes, and what is laid over what."""

import pytest
import torch

from lumina_next.nextdit.region_areas import LEAST, areas_of, paint_areas
from lumina_next.nextdit.regions import Region, Regions
from lumina_next.nextdit.span import NEVER, Span


def weights(*boxes, size=(24, 32)) -> torch.Tensor:
    """Return weights (1, T, H, W) that are 1 in a box (rows, columns) each."""
    out = torch.zeros(1, len(boxes), *size)
    for i, (rows, columns) in enumerate(boxes):
        out[:, i, rows, columns] = 1.0
    return out


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        (slice(0, 24), slice(0, 16), (slice(0, 24), slice(0, 16))),
        (slice(3, 15), slice(5, 21), (slice(2, 16), slice(4, 22))),
        (slice(10, 11), slice(31, 32), (slice(10, 18), slice(24, 32))),
        (slice(23, 24), slice(0, 1), (slice(16, 24), slice(0, LEAST))),
    ],
)
def test_boxes_are_of_whole_patches_and_not_too_small(rows, columns, box):
    (area,) = areas_of(weights((rows, columns)), 2)
    assert area.box == box
    assert area.share.shape == (1, 1, box[0].stop - box[0].start, box[1].stop - box[1].start)


def test_a_latent_smaller_than_the_least_box_is_the_box():
    (area,) = areas_of(weights((slice(1, 2), slice(2, 3)), size=(5, 7)), 2)
    assert area.box == (slice(0, 5), slice(0, 7))


def test_a_text_that_nobody_hears_has_no_area():
    assert areas_of(weights((slice(0), slice(0))), 2) == [None]


def test_areas_are_laid_over_each_other_by_their_shares():
    """Each text draws a picture of its number; the oracle is the mean of all whole pictures by the weights."""
    mixed = torch.rand(2, 3, 24, 32)
    mixed[:, 0, :, 16:] = 0.0
    mixed /= mixed.sum(dim=1, keepdim=True)
    x = torch.randn(2, 4, 24, 32)
    painted = paint_areas(x, areas_of(mixed, 2), lambda i, box: (i + 1) * box)
    expected = sum(mixed[:, i, None] * (i + 1) * x for i in range(3))
    torch.testing.assert_close(painted, expected)
    frames = paint_areas(x[:, :, None], areas_of(mixed, 2), lambda i, box: (i + 1) * box)
    torch.testing.assert_close(frames[:, :, 0], expected)


@pytest.mark.parametrize(("size", "patch"), [((37,), 2), ((3, 9, 16), 2), ((5, 24, 8), 1)])
def test_sounds_and_clips_are_laid_over_each_other_too(size, patch):
    """A sound has one axis, a clip three, of which a frame is a patch for itself."""
    mixed = torch.rand(2, 3, *size)
    mixed[:, 0, size[0] // 2 :] = 0.0
    mixed /= mixed.sum(dim=1, keepdim=True)
    x = torch.randn(2, 4, *size)
    areas = areas_of(mixed, patch)
    painted = paint_areas(x, areas, lambda i, box: (i + 1) * box)
    torch.testing.assert_close(painted, sum(mixed[:, i, None] * (i + 1) * x for i in range(3)))
    assert areas[0].box[0] == slice(0, 18 if len(size) == 1 else size[0] // 2)
    assert areas[0].cut(x).shape[2:] == areas[0].share.shape[2:]


def test_areas_share_as_the_weights_in_attention_do():
    regions = Regions(3, (Region(2, 0.5), Region(4, global_weight=0.25, span=Span(0.5, 1.0))), areas=Span(0.0, 0.4))
    masks, t = torch.rand(1, 2, 8, 8), torch.tensor([0.7])
    areas = regions.areas_at(masks, t, 1)
    shares = torch.cat([area.share for area in areas], dim=1).flatten(2)
    torch.testing.assert_close(shares, regions.weights(masks, t, 1))
    assert regions.areas_at(masks, torch.tensor([0.2]), 1)[2] is None
    assert Regions(3, ()).areas == NEVER and not NEVER.contains(0.0)


def test_the_references_maths_has_no_areas():
    with pytest.raises(ValueError, match="the reference's maths has no areas"):
        Regions(3, (Region(2),), summed=True, areas=Span(0.0, 0.5))
