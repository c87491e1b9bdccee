"""The time grids: their ends, their order, their formulas, and what they refuse."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lumina_next.samplers import SCHEDULES, denoise_times, times

ALPHA = st.floats(0.05, 100.0)
SIDE = st.floats(0.05, 10.0)
CASES = st.one_of(
    st.just(("uniform", {})),
    st.tuples(st.just("rational"), st.fixed_dictionaries({}, optional={"alpha": ALPHA})),
    st.tuples(
        st.just("sigmoid"),
        st.fixed_dictionaries({}, optional={"mu": st.floats(0.01, 0.99), "sigma1": SIDE, "sigma2": SIDE}),
    ),
)


@settings(max_examples=200, deadline=None)
@given(case=CASES, steps=st.integers(1, 300))
def test_grids_ascend_from_exactly_zero_to_exactly_one(case, steps):
    name, parameters = case
    grid = times(name, steps, **parameters)
    assert grid.shape == (steps + 1,) and grid.dtype == torch.float32 and grid.device.type == "cpu"
    assert grid[0] == 0.0 and grid[-1] == 1.0
    assert (grid.diff() >= 0).all()
    if not parameters:
        assert (grid.diff() > 0).all()


@settings(deadline=None)
@given(steps=st.integers(1, 300))
def test_rational_with_alpha_one_is_uniform(steps):
    torch.testing.assert_close(times("rational", steps, alpha=1.0), times("uniform", steps), atol=1e-7, rtol=0)


def test_uniform_is_the_references_grid():
    assert torch.equal(times("uniform", 9), torch.linspace(0, 1, 10, dtype=torch.float64).float())


def test_rational_is_comfyuis_shift():
    # SD3 and AuraFlow shift sigma by s * sigma / (1 + (s - 1) sigma), the same map on the other side of time.
    sigma = 1 - torch.linspace(0, 1, 31)
    shifted = 4 * sigma / (1 + 3 * sigma)
    torch.testing.assert_close(times("rational", 30), 1 - shifted, atol=1e-6, rtol=0)


def test_sigmoid_is_the_documented_formula():
    mu, sigma1, sigma2 = 0.4, 0.1, 0.25

    def g(u):
        return 1 / (1 + math.exp(-(u - mu) / (sigma1 if u < mu else sigma2)))

    expected = [(g(i / 20) - g(0)) / (g(1) - g(0)) for i in range(21)]
    torch.testing.assert_close(
        times("sigmoid", 20, mu=mu, sigma1=sigma1, sigma2=sigma2), torch.tensor(expected), atol=1e-7, rtol=0
    )


def test_sigmoid_takes_small_steps_at_both_ends():
    steps = times("sigmoid", 20).diff()
    assert steps[0] < steps.max() / 2 and steps[-1] < steps.max()
    assert 0 < int(steps.argmax()) < 19


@settings(deadline=None)
@given(name=st.sampled_from(list(SCHEDULES)), steps=st.integers(1, 60), denoise=st.floats(0.01, 1.0))
def test_denoise_keeps_the_last_steps_of_a_longer_grid(name, steps, denoise):
    grid = denoise_times(name, steps, denoise)
    assert len(grid) == steps + 1 and grid[-1] == 1.0
    assert torch.equal(grid, times(name, int(steps / denoise))[-(steps + 1) :])


def test_denoise_at_its_ends():
    assert torch.equal(denoise_times("sigmoid", 7, 1.0), times("sigmoid", 7))
    empty = denoise_times("sigmoid", 7, 0.0)
    assert empty.shape == (0,) and empty.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "steps", "parameters", "message"),
    [
        ("karras", 5, {}, "unknown schedule 'karras'; known: rational, sigmoid, uniform"),
        ("uniform", 5, {"alpha": 2.0}, "uniform has no parameter alpha; it takes: none"),
        ("rational", 5, {"mu": 0.5, "beta": 1.0}, "has no parameter beta, mu; it takes: alpha"),
        ("uniform", 0, {}, "steps must be a whole number of at least 1, got 0"),
        ("uniform", -3, {}, "got -3"),
        ("uniform", 2.5, {}, "got 2.5"),
        ("uniform", True, {}, "got True"),
        ("rational", 5, {"alpha": 0.0}, "alpha must be a finite number above 0, got 0.0; try 4"),
        ("rational", 5, {"alpha": -1}, "alpha must be"),
        ("rational", 5, {"alpha": float("nan")}, "alpha must be .* got nan"),
        ("rational", 5, {"alpha": float("inf")}, "alpha must be .* got inf"),
        ("rational", 5, {"alpha": "4"}, "alpha must be .* got '4'"),
        ("sigmoid", 5, {"mu": 0.0}, "mu must be a finite number between 0 and 1, got 0.0"),
        ("sigmoid", 5, {"mu": 1.0}, "mu must be"),
        ("sigmoid", 5, {"sigma1": 0.0}, "sigma1 must be"),
        ("sigmoid", 5, {"sigma2": -0.1}, "sigma2 must be"),
    ],
)
def test_bad_input(name, steps, parameters, message):
    for grid in (times, denoise_times):
        with pytest.raises(ValueError, match=message):
            grid(name, steps, **parameters)


@pytest.mark.parametrize("denoise", [-0.1, 1.1, float("nan")])
def test_bad_denoise(denoise):
    with pytest.raises(ValueError, match="denoise must be between 0"):
        denoise_times("uniform", 5, denoise)


def test_bad_input_is_refused_even_when_there_is_nothing_to_denoise():
    with pytest.raises(ValueError, match="steps"):
        denoise_times("uniform", 0, 0.0)
    with pytest.raises(ValueError, match="alpha"):
        denoise_times("rational", 5, 0.0, alpha=-1.0)


def test_widget_ranges_hold_the_defaults_and_are_valid():
    for name, schedule in SCHEDULES.items():
        for p in schedule.parameters:
            assert p.minimum <= p.default <= p.maximum and p.tooltip
            for value in (p.minimum, p.maximum):
                assert torch.isfinite(times(name, 30, **{p.name: value})).all()
