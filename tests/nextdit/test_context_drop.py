import pytest
import torch

from lumina_next.nextdit import ContextDrop, RopeScaling
from lumina_next.nextdit.layers.rope import Axes, rotate

AXES = Axes((4, 4), interleaved=True)


def table(rows, cols, head_dim=8):
    theta = RopeScaling("extrapolation").frequencies(head_dim)
    return AXES.table((torch.arange(rows), torch.arange(cols)), (theta, theta))


@pytest.mark.parametrize("before_rope", [False, True])
def test_a_window_of_two_keeps_a_quarter_and_averages_values(before_rope):
    k, v = torch.randn(2, 3, 24, 8), torch.randn(2, 3, 24, 8)
    pooled_k, pooled_v = ContextDrop(before_rope=before_rope).pool((4, 6))(k, v, table(4, 6))
    assert pooled_k.shape == pooled_v.shape == (2, 3, 6, 8)
    grid = v.reshape(2, 3, 4, 6, 8)
    torch.testing.assert_close(pooled_v[:, :, 4], grid[:, :, 2:4, 2:4].mean((2, 3)))


def test_ragged_edges_average_what_is_there():
    v = torch.randn(1, 1, 15, 8)
    _, pooled = ContextDrop().pool((3, 5))(v, v, table(3, 5))
    assert pooled.shape == (1, 1, 6, 8)
    torch.testing.assert_close(pooled[0, 0, 5], v[0, 0, 14])
    torch.testing.assert_close(pooled[0, 0, 2], v[0, 0, [4, 9]].mean(0))


def test_before_rope_turns_the_average_by_the_windows_centre():
    k = torch.randn(1, 1, 16, 8)
    pooled, _ = ContextDrop(before_rope=True).pool((4, 4))(k, k, table(4, 4))
    theta = RopeScaling("extrapolation").frequencies(8)
    centres = AXES.table((torch.tensor([0.5, 2.5]), torch.tensor([0.5, 2.5])), (theta, theta))
    means = k.reshape(1, 1, 2, 2, 2, 2, 8).mean((3, 5)).reshape(1, 1, 4, 8)
    torch.testing.assert_close(pooled, rotate(means, centres), atol=1e-5, rtol=1e-5)


def test_after_rope_pools_rotated_keys():
    k = torch.randn(1, 1, 16, 8)
    pooled, _ = ContextDrop(before_rope=False).pool((4, 4))(k, k, table(4, 4))
    rotated = rotate(k, table(4, 4)).reshape(1, 1, 2, 2, 2, 2, 8).mean((3, 5)).reshape(1, 1, 4, 8)
    torch.testing.assert_close(pooled, rotated)


def test_layers_fade_from_all_to_none():
    drop = ContextDrop()
    assert [drop.layers(t, 24) for t in (0.0, 0.25, 0.5, 1.0)] == [24, 18, 12, 0]
    assert ContextDrop(fade="none").layers(1.0, 24) == 24
    assert ContextDrop(window=1).layers(0.0, 24) == 0


def test_start_and_end_limit_the_times():
    drop = ContextDrop(fade="none", start=0.25, end=0.5)
    assert [drop.layers(t, 24) for t in (0.0, 0.24, 0.25, 0.5, 0.51, 1.0)] == [0, 0, 24, 0, 0, 0]
    assert ContextDrop(start=0.25).layers(0.5, 24) == 12


def test_a_batch_has_one_time_or_nothing_that_depends_on_it():
    one, two = torch.full((3,), 0.25), torch.tensor([0.25, 0.75])
    assert ContextDrop().layers(one, 24) == 18
    assert ContextDrop(fade="none").layers(two, 24) == 24
    assert ContextDrop(window=1).layers(two, 24) == 0
    for drop in (ContextDrop(), ContextDrop(fade="none", end=0.5)):
        with pytest.raises(
            ValueError, match="one time for the whole batch, got times from 0.25 to 0.75; call the netw"
        ):
            drop.layers(two, 24)


def test_times_just_outside_count_as_the_ends():
    assert ContextDrop().layers(torch.tensor([-1e-7]), 24) == 24
    assert ContextDrop().layers(1.0 + 1e-7, 24) == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="0 <= start <= end <= 1, got start 0.5 and end 0.4"):
        ContextDrop(start=0.5, end=0.4)
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        ContextDrop(window=0)
    with pytest.raises(ValueError, match="unknown fade 'cosine'; known: linear, none"):
        ContextDrop(fade="cosine")
