"""How the sigmoid schedule's defaults were chosen: the exact flow to Gaussian data with the spectrum of images."""

import itertools
import math

import torch

from lumina_next.benchmarks.schedules.analysis import gaussian_velocity
from lumina_next.samplers import SCHEDULES, integrate, times

RUNS = [("euler", 10), ("euler", 30), ("midpoint", 5), ("midpoint", 10)]
FREQUENCIES = torch.arange(1, 33, dtype=torch.float64)  # of a 64 x 64 latent
AMOUNT = FREQUENCIES / FREQUENCIES.sum()  # modes at a radial frequency grow with it


def spectrum(exponent):
    variance = FREQUENCIES**-exponent
    return variance / (AMOUNT * variance).sum()  # latents have unit variance


def errors(schedule, **parameters):
    """Return the log errors of every run on every spectrum: over all pixels, and evenly over the frequencies."""
    found = []
    for exponent, (method, steps) in itertools.product((2.0, 2.5, 3.0), RUNS):
        variance = spectrum(exponent)
        exact = variance.sqrt()  # where x(0) = 1 ends
        grid = times(schedule, steps, **parameters).double()
        x = integrate(gaussian_velocity(variance), torch.ones_like(variance), grid, method)
        pixels = (AMOUNT * (x - exact) ** 2).sum() / (AMOUNT * variance).sum()
        frequencies = ((x / exact - 1) ** 2).mean()
        found += [0.5 * math.log(pixels), 0.5 * math.log(frequencies)]
    return torch.tensor(found)


def ratio_to_uniform(schedule, **parameters):
    return (errors(schedule, **parameters) - errors("uniform")).mean().exp().item()


def test_the_docstrings_numbers():
    assert round(ratio_to_uniform("sigmoid"), 2) == 0.39
    assert round(ratio_to_uniform("rational"), 2) == 0.75


def test_no_neighbour_is_better_than_the_defaults():
    default = {p.name: p.default for p in SCHEDULES["sigmoid"].parameters}
    best = errors("sigmoid").mean()
    for name, change in (("mu", 0.1), ("sigma1", 0.05), ("sigma2", 0.05), ("sigma2", 0.1)):
        for sign in (-1, 1):
            neighbour = default | {name: default[name] + sign * change}
            assert errors("sigmoid", **neighbour).mean() > best, neighbour
