"""Dynamic partition: pictures keep their shape, their size where they can, and stay within bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lumina_next.nextdit.partition import MATCHES, candidates, partition, resized

SIDES = st.integers(1, 3000)


def match(grid: tuple[int, int], height: int, width: int) -> float:
    down, across = grid[0] / height, grid[1] / width
    return min(down, across) / max(down, across)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(1, 400), st.sampled_from((1.0, 2.0, 4.0, 7.5)))
def test_the_grid_is_a_candidate_and_matches_as_well_as_any(height, width, most, ratio):
    grid = partition(height, width, 8, most, ratio)
    assert grid in candidates(most, ratio)
    assert math.prod(grid) <= most and max(grid) <= ratio * min(grid)
    best = max(match(other, height, width) for other in candidates(most, ratio))
    assert match(grid, height, width) >= MATCHES * best
    assert partition(width, height, 8, most, ratio) in (grid[::-1], grid) or math.prod(grid) > 1


def test_candidates_are_all_grids_within_the_bounds():
    found = candidates(30, 3.0)
    every = {(a, b) for a in range(1, 31) for b in range(1, 31) if a * b <= 30 and max(a, b) <= 3 * min(a, b)}
    assert set(found) == every and len(found) == len(every)


@pytest.mark.parametrize("grid", ((8, 8), (1, 1), (4, 16), (16, 4), (48, 48), (6, 24), (5, 7), (3, 11)))
def test_whole_patches_within_the_bounds_stay_as_they_are(grid):
    assert partition(grid[0] * 8, grid[1] * 8, 8, 2304) == grid
    picture = torch.rand(3, grid[0] * 8, grid[1] * 8) * 2 - 1
    assert resized(picture, grid, 8) is picture


@pytest.mark.parametrize(
    "size, grid",
    [
        ((100, 100), (12, 12)),
        ((1000, 1000), (48, 48)),  # as large as may be
        ((4000, 1000), (96, 24)),
        ((50, 4000), (22, 90)),  # longer than may be
        ((1, 1), (1, 1)),
        ((97, 203), (12, 25)),
    ],
)
def test_other_sizes_go_to_what_is_near(size, grid):
    found = partition(*size, 8, 2304)
    assert match(found, *grid) >= 0.9 and 0.85 < math.prod(found) / math.prod(grid) <= 1.18
    assert resized(torch.zeros(2, 3, *size), found, 8).shape == (2, 3, 8 * found[0], 8 * found[1])


def test_small_pictures_may_be_enlarged():
    assert partition(8, 8, 8, 2304, min_patches=36) == (6, 6)
    assert math.prod(partition(8, 20, 8, 2304, min_patches=36)) >= 36


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="the picture is empty, 0 × 5 pixels"):
        partition(0, 5, 8, 10)
    with pytest.raises(
        ValueError, match="expected at least 1 patch and a ratio of sides from 1 on, got 0 patches and 4"
    ):
        partition(5, 5, 8, 0)
    with pytest.raises(ValueError, match="got 4 patches and 0.5"):
        candidates(4, 0.5)


def test_enlarging_stays_within_the_range_of_pixels():
    edge = torch.full((3, 9, 9), -1.0)
    edge[:, :, 5:] = 1.0
    assert resized(edge, (4, 4), 8).abs().max() <= 1.0
