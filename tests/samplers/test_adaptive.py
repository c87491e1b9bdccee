"""The adaptive solver: against exact solutions and torchdiffeq, and what it reports."""

import pytest
import torch
import torchdiffeq

from lumina_next.benchmarks.schedules.analysis import gaussian_velocity
from lumina_next.samplers import integrate_adaptive

VARIANCE = torch.tensor([30.0, 1.0, 0.05], dtype=torch.float64)
X = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-7])
def test_the_error_follows_the_tolerance(tolerance):
    out, spent = integrate_adaptive(gaussian_velocity(VARIANCE), X, 0.0, 1.0, tolerance, tolerance)
    assert (out - X * VARIANCE.sqrt()).square().mean().sqrt() < 40 * tolerance
    assert spent < 40 / tolerance**0.25


def test_agrees_with_torchdiffeq_at_a_like_cost():
    calls = []

    def field(t, x):
        calls.append(t)
        return gaussian_velocity(VARIANCE)(x, t)

    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    theirs = torchdiffeq.odeint(field, X, ends, rtol=1e-6, atol=1e-6, method="dopri5")[-1]
    ours, spent = integrate_adaptive(gaussian_velocity(VARIANCE), X, 0.0, 1.0, 1e-6, 1e-6)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert spent < 1.3 * len(calls)


def test_steps_are_reported_as_they_began_and_run_either_way():
    seen = []
    velocity = gaussian_velocity(VARIANCE)
    there, spent = integrate_adaptive(velocity, X, 0.1, 0.9, 1e-6, 1e-6, lambda *step: seen.append(step))
    assert [i for i, *_ in seen] == list(range(len(seen))) and len(seen) > 3
    assert spent >= 6 * len(seen)
    assert seen[0][1] == 0.1 and torch.equal(seen[0][2], X)
    for _, t, x, v in seen:
        torch.testing.assert_close(v, velocity(x, t))
    back, _ = integrate_adaptive(velocity, there, 0.9, 0.1, 1e-6, 1e-6)
    torch.testing.assert_close(back, X, atol=1e-4, rtol=1e-4)


def test_shape_and_dtype_are_kept():
    x = torch.ones(2, 3, 4, 5)
    out, _ = integrate_adaptive(lambda x, t: x, x, 0.0, 1.0, 1e-5, 1e-5)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, x * torch.e, atol=1e-3, rtol=0)
    same, spent = integrate_adaptive(lambda x, t: x, x, 0.5, 0.5)
    assert same is x and spent == 0


def test_bad_input():
    for rtol, atol in ((0.0, 1e-3), (1e-3, -1.0), (float("nan"), 1e-3)):
        with pytest.raises(ValueError, match="must be a finite number above 0"):
            integrate_adaptive(lambda x, t: x, X, 0.0, 1.0, rtol, atol)
    with pytest.raises(RuntimeError, match="dopri5 stopped at t = 0.*NaN"):
        integrate_adaptive(lambda x, t: x * torch.nan if t > 0 else x, X, 0.0, 1.0)
    with pytest.raises(ValueError, match="must return x's shape"):
        integrate_adaptive(lambda x, t: x[:1], X, 0.0, 1.0)
