"""A third axis beside rows and columns: laid over the slow pairs of a head, or with pairs of its own."""

import pytest
import torch

from lumina_next.nextdit.layers.rope import Axes, rotate
from lumina_next.nextdit.layers.rope_scaling import METHODS, PLAIN, RopeScaling

OVER = Axes((8, 16, 16), interleaved=True, overlaid=True)


def table(axes, *positions):
    thetas = PLAIN.thetas(axes, torch.zeros(1), len(axes.widths) - 2)
    return axes.table([torch.as_tensor(p) for p in positions], thetas)


def test_the_first_frame_is_the_table_of_two_axes_and_others_turn_the_slowest_pairs_on():
    plane, clip = (
        table(Axes.shared(32, 2, interleaved=True), range(3), range(5)),
        table(OVER, range(4), range(3), range(5)),
    )
    frames = clip.unflatten(2, (4, -1))
    assert OVER.head_dim == 32 and torch.equal(frames[:, :, 0], plane)
    assert torch.equal(frames[..., :12], plane[:, :, None, :, :12].expand(-1, -1, 4, -1, -1))
    angles = torch.atan2(frames[1], frames[0])
    steps = 10000.0 ** (-torch.arange(0, 8, 2) / 8)
    turned = (angles[:, 1, :, 12:] - angles[:, 0, :, 12:]).remainder(2 * torch.pi)
    torch.testing.assert_close(turned, steps.expand_as(turned), atol=1e-4, rtol=1e-4)


def test_products_depend_on_distances_along_each_axis_alone():
    g = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 1, 32, generator=g) for _ in range(2))

    def product(one, other):
        at = [rotate(x, table(OVER, *([p] for p in place))) for x, place in ((q, one), (k, other))]
        return float((at[0] * at[1]).sum())

    base = product((0, 0, 0), (2, 1, 3))
    assert product((5, 0, 0), (7, 1, 3)) == pytest.approx(base, abs=1e-3)
    assert product((5, 4, 2), (7, 5, 5)) == pytest.approx(base, abs=1e-3)
    for moved in ((3, 1, 3), (2, 2, 3), (2, 1, 4)):
        assert abs(product((0, 0, 0), moved) - base) > 1e-3


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("extrapolation", "auto")])
def test_each_method_stretches_frames_as_it_does_rows(method):
    """On an axis of the rows' width, trained on as many positions, the frames' frequencies are the rows'."""
    axes, t = Axes.shared(48, 3), torch.tensor([0.2, 0.95])
    both = RopeScaling(method, 2.0, train_tokens=16, frames=2.0, train_frames=16).thetas(axes, t, 1)
    assert torch.equal(both[0], both[1])
    space = RopeScaling(method, 2.0, train_tokens=16).thetas(axes, t, 1)
    assert torch.equal(space[0], PLAIN.thetas(axes, t, 1)[0]) and torch.equal(space[1], both[1])


def test_axes_that_cannot_be():
    with pytest.raises(ValueError, match="an overlaid axis is at most as wide as the others together"):
        Axes((34, 16, 16), overlaid=True)
    with pytest.raises(ValueError, match="interleaved axes need equal widths"):
        Axes((8, 16, 12), interleaved=True, overlaid=True)
    with pytest.raises(ValueError, match="RoPE factor must be a positive finite number"):
        RopeScaling("yarn", frames=float("nan"))
