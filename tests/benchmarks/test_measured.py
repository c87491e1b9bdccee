"""Measured schedules: against optima that are known, brute force, and the solver itself."""

from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lumina_next.benchmarks.schedules.analysis import gaussian_velocity
from lumina_next.benchmarks.schedules.measured import (
    Path,
    cheapest_steps,
    least_error_times,
    measured_times,
    one_step_errors,
    probe,
    probe_times,
    proposals,
    refine,
)
from lumina_next.samplers import METHODS, integrate, times

VARIANCE = torch.arange(1, 33, dtype=torch.float64) ** -2.0 * 20
NOISE = torch.randn(2, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def power_path(exponent, derivative):
    """Return the path of a flow whose velocity's derivative of this order is t^exponent."""
    grid = torch.linspace(0, 1, 241, dtype=torch.float64)
    scale = torch.tensor([exponent + k + 1 for k in range(derivative)]).prod()
    v = grid ** (exponent + derivative) / scale
    x = grid ** (exponent + derivative + 1) / scale / (exponent + derivative + 1)
    return Path(grid, x[:, None, None], v[:, None, None])


@settings(max_examples=30, deadline=None)
@given(exponent=st.floats(0.0, 3.0), steps=st.integers(2, 10), method=st.sampled_from(["euler", "midpoint", "heun"]))
def test_finds_the_schedule_that_equidistributes_the_error(exponent, steps, method):
    # One step of order p costs h^(p+1) |v^(p)|, equal everywhere where the steps have the density |v^(p)|^(1/(p+1)).
    order = METHODS[method].order
    expected = torch.linspace(0, 1, steps + 1) ** ((order + 1) / (exponent + order + 1))
    found = least_error_times(power_path(exponent, order), steps, method)
    # The formula is the limit of many steps; the first, at the zero of t^exponent, is the farthest from it.
    torch.testing.assert_close(found, expected, atol=0.02 + 0.1 * exponent / steps, rtol=0)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 6))
def test_the_programme_finds_what_brute_force_finds(seed, steps):
    table = torch.rand(7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def cost(chosen):
        return sum(table[i, j] ** 2 for i, j in pairwise(chosen))

    best = min(cost([0, *inner, 6]) for inner in combinations(range(1, 6), steps - 1))
    found = cheapest_steps(table, steps)
    assert found[0] == 0 and found[-1] == 6 and len(found) == steps + 1
    assert all(i < j for i, j in pairwise(found))
    assert cost(found) == pytest.approx(best)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.integers(1, 60),
    method=st.sampled_from(list(METHODS)),
    start=st.floats(0.0, 0.9),
    probes=st.integers(2, 20),
)
def test_schedules_ascend_between_the_ends_of_the_path(steps, method, start, probes):
    grid = probe_times(probes, start)
    found = least_error_times(probe(gaussian_velocity(VARIANCE), NOISE, grid)[0], steps, method)
    assert found.shape == (steps + 1,) and found.dtype == torch.float32
    assert (found.diff() > 0).all()
    assert found[0] == grid[0].float() and found[-1] == 1.0


@pytest.mark.parametrize(
    ("method", "steps", "ratio"),
    [("euler", 4, 0.95), ("euler", 6, 0.95), ("euler", 10, 0.95), ("midpoint", 6, 0.9), ("midpoint", 10, 0.9)]
    + [("rk4", 4, 0.9), ("rk4", 6, 0.7)],
)
def test_beats_equal_steps_on_noise_it_was_not_measured_on(method, steps, ratio):
    velocity = gaussian_velocity(VARIANCE)
    measured = least_error_times(probe(velocity, NOISE, probe_times(15))[0], steps, method)
    other = NOISE.flip(1)
    exact = other * VARIANCE.sqrt()
    error, uniform = (
        (integrate(velocity, other, grid.double(), method) - exact).norm()
        for grid in (measured, times("uniform", steps))
    )
    assert error < ratio * uniform


@pytest.mark.parametrize("method", METHODS)
def test_errors_are_the_solvers_where_velocity_depends_on_time_only(method):
    def velocity(x, t):
        return torch.sin(5 * t).expand(x.shape)

    grid = torch.linspace(0, 1, 121, dtype=torch.float64)
    x = (1 - torch.cos(5 * grid)) / 5
    path = Path(grid, x[:, None, None], torch.sin(5 * grid)[:, None, None])
    errors = one_step_errors(path, method)
    for i, j in ((0, 120), (12, 60), (50, 56)):
        step = integrate(velocity, x[i : i + 1], grid[[i, j]], method) - x[j]
        assert errors[i, j].item() == pytest.approx(abs(step.item()), rel=1e-3, abs=1e-8)
    assert (errors.tril() == 0).all()


def test_eulers_errors_are_the_solvers_on_any_flow():
    velocity, grid = gaussian_velocity(VARIANCE), probe_times(8)
    path, _ = probe(velocity, NOISE, grid)
    step = integrate(velocity, path.x[2], grid[[2, 6]], "euler") - path.x[6]
    torch.testing.assert_close(one_step_errors(path)[2, 6], step.square().mean().sqrt())


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun"])
@pytest.mark.parametrize("steps", [2, 3, 6])
def test_the_proposal_that_ends_nearest_is_taken(method, steps):
    velocity = gaussian_velocity(VARIANCE)
    path, end = probe(velocity, NOISE, probe_times(15))
    tried = []

    def run(grid):
        tried.append(grid)
        return integrate(velocity, NOISE, grid.double(), method)

    found = measured_times(path, end, run, steps, method)
    errors = [(run(grid) - NOISE * VARIANCE.sqrt()).norm() for grid in tried[:5]]
    assert torch.equal(found, tried[errors.index(min(errors))])
    assert torch.equal(tried[0], least_error_times(path, steps, method))
    assert any(torch.equal(grid, times("uniform", steps)) for grid in tried)
    assert all((grid.diff() > 0).all() and grid[0] == 0 and grid[-1] == 1 for grid in tried)


def test_a_path_judges_nothing_that_is_about_as_fine():
    path, end = probe(gaussian_velocity(VARIANCE), NOISE, probe_times(8, 0.25))
    assert len(proposals(path, 8, "euler")) == len(proposals(path, 4, "midpoint")) == 5
    assert len(proposals(path, 9, "euler")) == len(proposals(path, 5, "midpoint")) == 1
    assert all(grid[0] == 0.25 for grid in proposals(path, 4, "euler"))
    assert len(measured_times(path, end, None, 9, "euler")) == 10


def test_refining_keeps_the_path_and_follows_a_cubic():
    grid = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64)
    path = Path(grid, (grid**3)[:, None, None], (3 * grid**2)[:, None, None])
    fine = refine(path, 5)
    assert len(fine.times) == 16 and torch.equal(fine.times[::5], grid)
    torch.testing.assert_close(fine.x.flatten(), fine.times**3)
    torch.testing.assert_close(fine.v.flatten(), 3 * fine.times**2)


def test_probing_asks_for_nothing_at_the_last_time_and_keeps_some_entries():
    seen = []

    def velocity(x, t):
        seen.append(float(t))
        return 2 * t.float() * torch.ones_like(x)

    path, _ = probe(velocity, torch.zeros(3, 4, 8, 8), probe_times(5), entries=50)
    assert len(seen) == 10 and max(seen) < 1.0
    assert path.x.shape == path.v.shape == (6, 3, 50) and path.x.dtype == torch.float64
    torch.testing.assert_close(path.v[-1], torch.full((3, 50), 2.0, dtype=torch.float64))


def test_joining_measures_the_mean_of_both():
    velocity, grid = gaussian_velocity(VARIANCE), probe_times(6)
    one, two = (probe(velocity, NOISE[i : i + 1], grid)[0] for i in (0, 1))
    both, _ = probe(velocity, NOISE, grid)
    torch.testing.assert_close(one_step_errors(one.join(two)), one_step_errors(both))
    with pytest.raises(ValueError, match="same times"):
        one.join(probe(velocity, NOISE, probe_times(7))[0])


def test_bad_input():
    path, _ = probe(gaussian_velocity(VARIANCE), NOISE, probe_times(4))
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        least_error_times(path, 0)
    with pytest.raises(ValueError, match="unknown solver 'lms'"):
        least_error_times(path, 4, "lms")
    with pytest.raises(ValueError, match="between 1 and 4, the intervals of the path, got 5"):
        cheapest_steps(one_step_errors(path), 5)
    with pytest.raises(ValueError, match="NaN or infinity"):
        probe(lambda x, t: x * torch.nan, NOISE, probe_times(4))
    with pytest.raises(ValueError, match="at least three ascending"):
        Path(torch.tensor([0.0, 1.0]), NOISE[None], NOISE[None])
