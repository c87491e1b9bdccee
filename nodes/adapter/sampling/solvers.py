"""Runge-Kutta solvers, of fixed steps and adaptive, as ComfyUI's SAMPLER."""

import logging
from collections.abc import Callable

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import trange

from ....samplers import METHODS, integrate, integrate_adaptive, stages
from ..host.progress import tell
from ..host.time import flow_time, sigma_at
from .flow import FlowVelocity, check_sigmas, require_flow

# A sampler sees denoised = x - sigma * output, and no velocity can be had from that at sigma = 0, where the last stage
# of heun, rk4 and dopri5 lies. They end at this sigma instead, and the last slope carries x the rest of the way.
# Smaller, and cancellation in float32 grows; larger, and the rest counts. Against the pure solver it costs 1e-5 to 3e-4
# of x, below the solver's own error. Asking the model at this sigma with x as at sigma 0 costs as much, but breaks
# inpainting, whose field is singular there; a last interval of lower order costs 10 to 1000 times more.
LAST_SIGMA = 5e-4


def solver_sampler(method: str) -> comfy.samplers.KSAMPLER:
    """Return a method of `samplers.METHODS` as ComfyUI's SAMPLER; ValueError for an unknown one."""
    stages(method)
    return comfy.samplers.KSAMPLER(sample_flow, extra_options={"method": method})


def adaptive_sampler(rtol: float, atol: float) -> comfy.samplers.KSAMPLER:
    """Return dopri5 with these tolerances as ComfyUI's SAMPLER; of the sigmas it keeps the first and the last."""
    return comfy.samplers.KSAMPLER(sample_adaptive, extra_options={"rtol": rtol, "atol": atol})


def sample_flow(model, x, sigmas, extra_args=None, callback=None, disable=None, method="midpoint"):
    """Integrate a flow model from sigmas[0] to sigmas[-1], as a k-diffusion sampler function.

    `callback` is called once a step, after the step's evaluations, with the state at the step's beginning: preview,
    progress and interrupt. Raises ValueError for a model that is no flow model and for sigmas that are not finite,
    exceed 1 or do not descend.
    """

    def solve(velocity, x, exact, progress):
        def on_step(i, t, x, v):
            _show(callback, i, x, sigmas[i], x + sigma_at(t) * v)
            progress.update()

        return integrate(velocity, x, flow_time(exact), method, on_step)

    evaluates_end = METHODS[method].c[-1] == 1.0
    return _follow(model, x, sigmas, extra_args, disable, solve, last_step=-2 if evaluates_end else None)


def sample_adaptive(model, x, sigmas, extra_args=None, callback=None, disable=None, rtol=1e-2, atol=1e-2):
    """Integrate a flow model from sigmas[0] to sigmas[-1] in steps of the solver's own choice.

    `callback` is called once an accepted step, numbered by the part of the way done, since nobody knows how many there
    will be; the evaluations spent are shown on the progress bar and logged. Raises ValueError as `sample_flow` does,
    and RuntimeError when no step is small enough.
    """

    def solve(velocity, x, exact, progress):
        first, last, total = float(exact[0]), float(exact[-1]), len(sigmas) - 1

        def on_step(i, t, x, v):
            sigma = sigma_at(t.item())
            done = min(int(total * (first - sigma) / (first - last)), total - 1)
            _show(callback, done, x, sigmas.new_tensor(sigma), x + sigma * v)
            progress.update(done + 1 - progress.n)
            progress.set_postfix_str(f"{velocity.evaluations} evaluations")

        x, evaluations = integrate_adaptive(velocity, x, flow_time(first), flow_time(last), rtol, atol, on_step)
        progress.update(total - progress.n)
        logging.info("Flow Sampler: dopri5 took %d model evaluations.", evaluations)
        tell(f"dopri5 took {evaluations} model evaluations")
        return x

    return _follow(model, x, sigmas, extra_args, disable, solve, last_step=0)


@torch.no_grad()
def _follow(model, x, sigmas, extra_args, disable, solve: Callable, last_step: int | None) -> torch.Tensor:
    """Return x at sigmas[-1], by solve(velocity, x, sigmas in float64, progress bar).

    `last_step` is the index of the sigma at which the last step may begin, None for a solver that never evaluates its
    end.
    """
    if len(sigmas) < 2:
        return x
    require_flow(model.inner_model.inner_model.model_sampling, "Flow Sampler")
    check_sigmas(sigmas)
    # float64, so that the sigmas reach the model exactly: other nodes look them up by value
    exact = sigmas.detach().to("cpu", torch.float64, copy=True)
    velocity = FlowVelocity(model, extra_args)
    last = exact[-1].item()
    if last_step is not None:
        exact[-1] = max(last, min(LAST_SIGMA, exact[last_step].item() / 10))
    with trange(len(sigmas) - 1, disable=disable) as progress:
        x = solve(velocity, x, exact, progress)
    return x + (exact[-1].item() - last) * velocity.last


def _show(callback: Callable | None, step: int, x, sigma: torch.Tensor, denoised: torch.Tensor) -> None:
    if callback is not None:
        callback({"x": x, "i": step, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
