"""Local errors and curvature, on fields whose answers are known."""

import pytest
import torch

from lumina_next.benchmarks.schedules.analysis import curvature, discretization_error, gaussian_velocity, trajectory
from lumina_next.samplers import integrate, stages, times


def evenly(steps):
    return torch.linspace(0, 1, steps + 1, dtype=torch.float64)


def test_a_straight_flow_has_neither():
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    constant = torch.randn_like(x)
    points = trajectory(lambda x, t: constant, x, evenly(5))
    assert points.shape == (6, 3, 2, 4, 4)
    torch.testing.assert_close(points[-1], x + constant)
    assert curvature(points, evenly(5)).shape == (4, 3)
    assert curvature(points, evenly(5)).max() < 1e-12
    assert discretization_error(lambda x, t: constant, x, evenly(5)).max() < 1e-12


def test_local_error_of_exponential_growth():
    # dx/dt = x: one Euler step gives 1 + h, the exact flow exp(h), relative to x.
    times_, x = evenly(4), torch.full((2, 1), 3.0, dtype=torch.float64)
    errors = discretization_error(lambda x, t: x, x, times_, substeps=5000)
    expected = 3 * times_[:-1].exp() * (torch.e**0.25 - 1.25)
    torch.testing.assert_close(errors, expected[:, None].expand(4, 2), rtol=5e-3, atol=0)


def test_curvature_is_the_second_derivative_on_uneven_grids():
    # x(t) = 5 t^2 along one axis: its second derivative is 10 everywhere.
    uneven = times("rational", 12).double()
    points = (5 * uneven**2)[:, None, None] * torch.tensor([[[0.6, 0.8]]], dtype=torch.float64)
    torch.testing.assert_close(curvature(points, uneven), torch.full((11, 1), 10.0, dtype=torch.float64))


def test_trajectory_is_the_solvers():
    x = torch.randn(2, 5, dtype=torch.float64)
    velocity = gaussian_velocity(torch.linspace(0.1, 9, 5, dtype=torch.float64))
    points = trajectory(velocity, x, evenly(6), "midpoint")
    assert torch.equal(points[0], x)
    assert torch.equal(points[-1], integrate(velocity, x, evenly(6), "midpoint"))
    assert stages("midpoint") == 2


def test_the_gaussian_flow_ends_with_its_variance():
    variance = torch.tensor([0.01, 1.0, 50.0], dtype=torch.float64)
    x = torch.randn(4, 3, dtype=torch.float64)
    fine = integrate(gaussian_velocity(variance), x, times("sigmoid", 400).double(), "rk4")
    torch.testing.assert_close(fine, x * variance.sqrt(), rtol=1e-5, atol=1e-8)


def test_image_like_data_is_hard_near_noise_and_near_data():
    # The paper's figure 6: errors are largest near noise, and larger near data than in between.
    variance = torch.tensor([100.0, 1.0, 0.01], dtype=torch.float64)
    errors = discretization_error(gaussian_velocity(variance), torch.ones(1, 3, dtype=torch.float64), evenly(20))[:, 0]
    assert errors[0] == errors.max()
    assert errors[-3:].max() > 2 * errors[8:12].max()


def test_bad_input():
    with pytest.raises(ValueError, match="substeps must be at least 2"):
        discretization_error(lambda x, t: x, torch.ones(1, 1), times("uniform", 2), substeps=1)
    with pytest.raises(ValueError, match="at least three, got 2 and 2"):
        curvature(torch.ones(2, 1, 1), times("uniform", 1))
    with pytest.raises(ValueError, match="got 4 and 3"):
        curvature(torch.ones(4, 1, 1), times("uniform", 2))
