"""The SDE of a flow as ComfyUI's SAMPLER."""

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import default_noise_sampler, trange

from ....samplers.sde import integrate_sde, sde_times
from ..host.time import flow_time, sigma_at
from .flow import FlowVelocity, check_sigmas, require_flow

NODE = "Flow SDE Sampler"


def sde_sampler(**options) -> comfy.samplers.KSAMPLER:
    """Return the SAMPLER; `options` are those of `integrate_sde` and last_step_size. ValueError for wrong ones."""
    nowhere = torch.ones(1, dtype=torch.float64)
    size = options["last_step_size"]
    integrate_sde(lambda x, t: x, nowhere, nowhere, lambda: nowhere, **_without_size(options))
    sde_times(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), size)
    return comfy.samplers.KSAMPLER(sample_sde, extra_options=options)


@torch.no_grad()
def sample_sde(model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None, **options):
    """Follow a flow model's SDE from sigmas[0] to sigmas[-1], as a k-diffusion sampler function.

    The noise is that of the seed. Raises ValueError for a model that is no flow model and for sigmas that are not
    finite, exceed 1 or do not descend.
    """
    if len(sigmas) < 2:
        return x
    require_flow(model.inner_model.inner_model.model_sampling, NODE)
    check_sigmas(sigmas, NODE)
    draw = noise_sampler or default_noise_sampler(x, seed=(extra_args or {}).get("seed"))
    times = sde_times(flow_time(sigmas.detach().to("cpu", torch.float64)), options["last_step_size"])
    velocity = FlowVelocity(model, extra_args)
    with trange(len(sigmas) - 1, disable=disable) as progress:

        def on_step(i, t, x, v):
            sigma = sigmas.new_tensor(float(sigma_at(t)))
            if callback is not None:
                denoised = x + sigma * v
                callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
            progress.update()

        def noise() -> torch.Tensor:
            return draw(sigmas[0], sigmas[-1]).to(x)

        return integrate_sde(velocity, x, times, noise, on_step=on_step, **_without_size(options)).to(x.dtype)


def _without_size(options: dict) -> dict:
    return {name: value for name, value in options.items() if name != "last_step_size"}
