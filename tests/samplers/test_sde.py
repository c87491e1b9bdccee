"""The SDE of a flow: against the reference code's numbers, against the flow, and against exact distributions."""

import json
from pathlib import Path

import pytest
import torch

from lumina_next.benchmarks.schedules.analysis import gaussian_velocity
from lumina_next.samplers import DIFFUSIONS, SDE_METHODS, integrate, integrate_sde, sde_times, times
from lumina_next.tests.support.reference_sde import SHAPE, STEPS, draws, field
from lumina_next.tests.support.reference_weights import numbers

RUNS = json.loads((Path(__file__).parent / "reference_sde.json").read_text())
VARIANCE = torch.tensor([9.0, 1.0, 0.1], dtype=torch.float64)


def velocity(x, t):
    return field(x, t.float().expand(len(x)))


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['sampling_method']} {run['diffusion_form']}")
def test_equals_the_reference(run):
    grid = sde_times(torch.linspace(0, 1, STEPS + 1, dtype=torch.float64))
    assert float(grid[-2]) == pytest.approx(0.96)
    out = integrate_sde(
        velocity,
        numbers("x", SHAPE),
        grid,
        draws(),
        run["sampling_method"].lower(),
        run["diffusion_form"],
        run["diffusion_norm"],
        "mean" if run["last_step"] == "Mean" else "euler",  # which Tweedie's formula is the same as
    )
    expected = torch.tensor(run["values"]).view(SHAPE)
    assert (out - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("method,flow", [("euler", "euler"), ("heun", "heun")])
def test_without_noise_it_is_the_flow(method, flow):
    grid = torch.linspace(0, 0.9, 6, dtype=torch.float64)
    x = numbers("x", SHAPE)
    out = integrate_sde(velocity, x, grid, draws(), method, norm=0.0)
    torch.testing.assert_close(out, integrate(velocity, x, grid, flow))


@pytest.mark.parametrize("diffusion", DIFFUSIONS)
@pytest.mark.parametrize("method", SDE_METHODS)
def test_what_comes_out_is_distributed_as_the_data(method, diffusion):
    generator = torch.Generator().manual_seed(0)

    def noise():
        return torch.randn(4000, 3, dtype=torch.float64, generator=generator)

    grid = sde_times(times("uniform", 250).double(), 0.004)
    out = integrate_sde(gaussian_velocity(VARIANCE), noise(), grid, noise, method, diffusion)
    torch.testing.assert_close(out.var(dim=0), VARIANCE, rtol=0.12, atol=0)


def test_steps_are_reported_and_a_part_of_the_way_has_no_last_step():
    seen = []
    grid = torch.linspace(0.2, 0.8, 4, dtype=torch.float64)
    assert torch.equal(sde_times(grid), grid)
    integrate_sde(velocity, numbers("x", SHAPE), grid, draws(), on_step=lambda i, t, x, v: seen.append((i, float(t))))
    assert [i for i, _ in seen] == [0, 1, 2] and seen[1][1] == pytest.approx(0.4)


def test_times_keep_their_ends_and_a_size_of_0_changes_nothing():
    grid = torch.linspace(0.5, 1, 6, dtype=torch.float64)
    assert torch.equal(sde_times(grid, 0.0), grid)
    assert torch.equal(sde_times(grid, 0.5), grid)  # no way is left before such a last step
    drawn = sde_times(grid, 0.1)
    assert (float(drawn[0]), float(drawn[-2]), float(drawn[-1])) == (0.5, pytest.approx(0.9), 1.0)
    assert torch.equal(sde_times(grid[[0, -1]]), grid[[0, -1]])


@pytest.mark.parametrize(
    "options,message",
    [
        ({"method": "milstein"}, "unknown SDE method 'milstein'; known: euler, heun"),
        ({"diffusion": "SBDM"}, "unknown diffusion 'SBDM'"),
        ({"last_step": "none"}, "unknown last step 'none'"),
        ({"norm": -1.0}, "norm must be from 0 to 10"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        integrate_sde(velocity, numbers("x", SHAPE), torch.linspace(0, 1, 3), draws(), **options)
