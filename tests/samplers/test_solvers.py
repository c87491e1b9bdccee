"""The Runge-Kutta solvers: against torchdiffeq, against exact solutions, and what they cost."""

import pytest
import torch
import torchdiffeq

from lumina_next.samplers import METHODS, integrate, stages, times

TORCHDIFFEQ = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4": "rk4"}


@pytest.fixture(scope="module")
def network():
    """Return a random smooth field of x (B, 4, 6, 6) and t, float32."""
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(5, 16, 3, padding=1), torch.nn.Conv2d(16, 4, 3, padding=1)

    @torch.no_grad()
    def velocity(x, t):
        return last(torch.tanh(first(torch.cat([x, t.float().expand(x.shape[0], 1, *x.shape[2:])], dim=1))))

    return velocity


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schedule", ["uniform", "rational", "sigmoid"])
def test_equal_to_torchdiffeq_on_the_same_grid(network, method, schedule):
    x, grid = torch.randn(2, 4, 6, 6), times(schedule, 7)
    ours = integrate(network, x, grid, method)
    theirs = torchdiffeq.odeint(lambda t, x: network(x, t), x, grid, method=TORCHDIFFEQ[method])[-1]
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_measured_order_of_convergence(method, order):
    assert METHODS[method].order == order
    # dx/dt = (1 + 2t) x (1 - x) has the solution 1 / (1 + (1/x0 - 1) exp(-t - t^2)).
    x0 = torch.tensor([0.05, 0.3, 1.7], dtype=torch.float64)
    exact = 1 / (1 + (1 / x0 - 1) * torch.e**-2)
    errors = []
    for steps in (50, 100):
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        errors.append((integrate(lambda x, t: (1 + 2 * t) * x * (1 - x), x0, grid, method) - exact).norm())
    assert torch.log2(errors[0] / errors[1]).item() == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_tableaux_are_consistent(method):
    tableau = METHODS[method]
    assert sum(tableau.b) == pytest.approx(1)
    assert [sum(row) for row in tableau.a] == pytest.approx(list(tableau.c))
    assert [len(row) for row in tableau.a] == list(range(tableau.stages))


@pytest.mark.parametrize(("method", "cost"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_evaluations_and_callbacks(method, cost):
    seen, steps = [], []

    def velocity(x, t):
        assert t.ndim == 0 and 0 <= t <= 1
        seen.append(float(t))
        return x + t

    grid, x = times("rational", 5), torch.randn(3)
    final = integrate(velocity, x, grid, method, on_step=lambda *step: steps.append(step))
    assert stages(method) == cost and len(seen) == cost * 5
    assert [i for i, *_ in steps] == list(range(5))
    assert torch.equal(torch.stack([t for _, t, *_ in steps]), grid[:-1])
    assert torch.equal(steps[0][2], x) and not torch.equal(final, x)
    for _, t, x, v in steps:
        torch.testing.assert_close(v, x + t)


@pytest.mark.parametrize("method", ["heun", "rk4"])
def test_the_last_stage_lies_exactly_at_the_end(method):
    seen = []
    integrate(lambda x, t: seen.append(t) or x, torch.ones(1), times("sigmoid", 7), method)
    assert seen[-1] == 1.0 and max(seen) == 1.0


def test_a_callback_can_stop_the_run():
    calls = []

    def stop(i, t, x, v):
        calls.append(i)
        if i == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        integrate(lambda x, t: x, torch.ones(1), times("uniform", 9), "rk4", stop)
    assert calls == [0, 1, 2]


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 4, 3, 5, 7), (0, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_any_shape_and_dtype(shape, dtype):
    x = torch.ones(shape, dtype=dtype)
    out = integrate(lambda x, t: x, x, times("uniform", 8), "rk4")
    assert out.shape == x.shape and out.dtype == dtype
    torch.testing.assert_close(out, x * torch.e, atol=0, rtol=1e-4 if dtype != torch.bfloat16 else 3e-2)


def test_input_is_left_alone_and_one_point_is_no_step():
    x = torch.ones(3)
    assert torch.equal(integrate(lambda x, t: x, x, torch.tensor([0.5])), x)
    integrate(lambda x, t: x, x, times("uniform", 3))
    assert torch.equal(x, torch.ones(3))


def test_descending_times_run_backwards(network):
    x, grid = torch.randn(1, 4, 6, 6), times("uniform", 20)
    there = integrate(network, x, grid, "rk4")
    torch.testing.assert_close(integrate(network, there, grid.flip(0), "rk4"), x, atol=1e-4, rtol=1e-4)


def test_gradients_flow():
    x = torch.ones(2, requires_grad=True)
    integrate(lambda x, t: 2 * x, x, times("uniform", 50), "rk4").sum().backward()
    torch.testing.assert_close(x.grad, torch.full((2,), torch.e**2), rtol=1e-4, atol=0)


def test_bad_input():
    with pytest.raises(ValueError, match="unknown solver 'dopri5'; known: euler, midpoint, heun, rk4"):
        integrate(lambda x, t: x, torch.ones(1), times("uniform", 2), "dopri5")
    with pytest.raises(ValueError, match="unknown solver"):
        stages("dopri5")
    for grid in (torch.tensor([]), torch.ones(2, 2), torch.tensor([0, 1])):
        with pytest.raises(ValueError, match="times must be a 1-D float tensor"):
            integrate(lambda x, t: x, torch.ones(1), grid)
    with pytest.raises(ValueError, match=r"return x's shape \(2, 4\), got \(2, 8\).*first half"):
        integrate(lambda x, t: torch.cat([x, x], 1), torch.ones(2, 4), times("uniform", 2))
