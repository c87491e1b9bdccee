"""The adaptive solver as ComfyUI's SAMPLER."""

import logging

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import trange

from ....samplers import integrate_adaptive
from .solvers import LAST_SIGMA, FlowVelocity, check_sigmas, require_flow


def adaptive_sampler(rtol: float, atol: float) -> comfy.samplers.KSAMPLER:
    """Return dopri5 with these tolerances as ComfyUI's SAMPLER; of the sigmas it keeps the first and the last."""
    return comfy.samplers.KSAMPLER(sample_adaptive, extra_options={"rtol": rtol, "atol": atol})


@torch.no_grad()
def sample_adaptive(model, x, sigmas, extra_args=None, callback=None, disable=None, rtol=1e-2, atol=1e-2):
    """Integrate a flow model from sigmas[0] to sigmas[-1] in steps of the solver's own choice.

    `callback` is called once an accepted step, numbered by the part of the way done, since nobody knows how many there
    will be; the evaluations spent are shown on the progress bar and logged. Raises ValueError as `sample_flow` does,
    and RuntimeError when no step is small enough.
    """
    if len(sigmas) < 2:
        return x
    require_flow(model.inner_model.inner_model.model_sampling, "Flow Sampler")
    check_sigmas(sigmas)
    first, last, total = sigmas[0].item(), sigmas[-1].item(), len(sigmas) - 1
    end = max(last, min(LAST_SIGMA, first / 10))
    velocity = FlowVelocity(model, extra_args)

    with trange(total, disable=disable) as progress:

        def on_step(i, t, x, v):
            sigma = 1.0 - t.item()
            done = min(int(total * (first - sigma) / (first - end)), total - 1)
            if callback is not None:
                at = sigmas.new_tensor(sigma)
                callback({"x": x, "i": done, "sigma": at, "sigma_hat": at, "denoised": x + sigma * v})
            progress.update(done + 1 - progress.n)
            progress.set_postfix_str(f"{velocity.evaluations} evaluations")

        x, evaluations = integrate_adaptive(velocity, x, 1.0 - first, 1.0 - end, rtol, atol, on_step)
        progress.update(total - progress.n)
    logging.info("Flow Sampler: dopri5 took %d model evaluations.", evaluations)
    return x + (end - last) * velocity.last
