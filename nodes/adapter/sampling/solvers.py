"""Schedules as SIGMAS and dropdown entries, Runge-Kutta solvers as SAMPLER, guidance as a MODEL patch."""

import math
from functools import partial

import comfy.model_sampling
import comfy.samplers
import torch
from comfy.k_diffusion.sampling import trange

from ....samplers import METHODS, SCHEDULES, denoise_times, guide, integrate, stages

# A sampler sees denoised = x - sigma * output, and no velocity can be had from that at sigma = 0, where the last stage
# of heun and rk4 lies. Their grid ends at this sigma instead, and the last slope carries x the rest of the way.
# Smaller, and cancellation in float32 grows; larger, and the rest counts. Against the pure solver it costs 1e-5 to 3e-4
# of x, below the solver's own error. Asking the model at this sigma with x as at sigma 0 costs as much, but breaks
# inpainting, whose field is singular there; a last interval of lower order costs 10 to 1000 times more.
LAST_SIGMA = 5e-4


def schedule_sigmas(schedule: str, steps: int, denoise: float = 1.0, **parameters: float) -> torch.Tensor:
    """Return a schedule as ComfyUI's SIGMAS, 1 - times: (steps + 1,) float32 on the CPU, descending to exactly 0.

    Empty for denoise 0, so that a sampler returns its latent unchanged.
    Raises ValueError as `samplers.denoise_times` does, and when two sigmas coincide (some stock samplers would then
    divide by zero).
    """
    values = 1.0 - denoise_times(schedule, steps, denoise, **parameters)
    if (values.diff() >= 0).any():
        raise ValueError(
            f"The {schedule} schedule with {parameters} puts some of {steps} steps closer together than float32 can "
            "tell apart. Use fewer steps or milder parameters."
        )
    return values


def solver_sampler(method: str) -> comfy.samplers.KSAMPLER:
    """Return a method of `samplers.METHODS` as ComfyUI's SAMPLER; ValueError for an unknown one."""
    stages(method)
    return comfy.samplers.KSAMPLER(sample_flow, extra_options={"method": method})


@torch.no_grad()
def sample_flow(model, x, sigmas, extra_args=None, callback=None, disable=None, method="midpoint"):
    """Integrate a flow model from sigmas[0] to sigmas[-1], as a k-diffusion sampler function.

    `callback` is called once a step, after the step's evaluations, with the state at the step's beginning: preview,
    progress and interrupt. Raises ValueError for a model that is no flow model and for sigmas that are not finite,
    exceed 1 or do not descend.
    """
    if len(sigmas) < 2:
        return x
    require_flow(model.inner_model.inner_model.model_sampling, "Flow Sampler")
    check_sigmas(sigmas)
    # float64, so that the grid's sigmas reach the model exactly: other nodes look them up by value.
    grid = sigmas.detach().to("cpu", torch.float64)
    grid[-1] = rest = _last_sigma(grid, method)
    velocity = FlowVelocity(model, extra_args)

    with trange(len(sigmas) - 1, disable=disable) as progress:

        def on_step(i, t, x, v):
            if callback is not None:
                denoised = x + (1.0 - t) * v
                callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
            progress.update()

        x = integrate(velocity, x, 1.0 - grid, method, on_step)
    return x + (rest - sigmas[-1].item()) * velocity.last


class FlowVelocity:
    """A sampler's model as velocity(x, t) = dx/dt, t = 1 - sigma below 1; remembers the `last` one and counts them."""

    def __init__(self, model, extra_args: dict | None):
        self.model, self.extra_args = model, extra_args or {}
        self.last, self.evaluations = torch.zeros(()), 0

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        sigmas = x.new_ones(len(x)) * (1.0 - t)  # a number of the kernel: what the CPU copies over, a GPU waits for
        denoised = self.model(x, sigmas, **self.extra_args)
        self.last = (denoised - x) / sigmas.view(-1, *[1] * (x.ndim - 1))
        self.evaluations += 1
        return self.last


def register_schedulers() -> None:
    """Append every schedule, with its default parameters, to the dropdowns of KSampler, BasicScheduler and the like.

    The names are lumina_uniform, lumina_rational and lumina_sigmoid; a second call changes nothing.
    """
    for schedule in SCHEDULES:
        name = f"lumina_{schedule}"
        comfy.samplers.SCHEDULER_HANDLERS[name] = comfy.samplers.SchedulerHandler(partial(_stock_sigmas, schedule))
        # Two names of one list, unless another pack replaced one of them.
        for names in (comfy.samplers.SCHEDULER_NAMES, comfy.samplers.KSampler.SCHEDULERS):
            if name not in names:
                names.append(name)


def require_flow(model_sampling, what: str) -> None:
    """Raise ValueError unless the model's sampling is a flow from sigma 1 to 0 (Lumina, SD3, Flux, Z-Image, ...)."""
    if not isinstance(model_sampling, comfy.model_sampling.CONST) or float(model_sampling.sigma_max) > 1.0 + 1e-4:
        raise ValueError(
            f"{what} is for flow models, whose sigma runs from 1 to 0 (Lumina, SD3, Flux and the like); this model's "
            f"sigma starts at {float(model_sampling.sigma_max):.4g} ({_bases(model_sampling)}). "
            "Use a stock sampler and scheduler with it."
        )


def channel_guidance(channels: int, args: dict) -> torch.Tensor:
    """Return guided x - denoised from ComfyUI's cfg-function arguments, guiding the first `channels` channels."""
    # At cfg 1 ComfyUI does not run the unconditional pass, and args["uncond"] means nothing.
    if math.isclose(args["cond_scale"], 1.0):
        return args["cond"]
    return guide(args["cond"], args["uncond"], args["cond_scale"], channels)


def guide_channels(model, channels: int):
    """Return a clone of a MODEL whose classifier-free guidance acts on its first `channels` latent channels only.

    Raises ValueError when the model has fewer channels, or when another node replaced its guidance already.
    """
    available = model.get_model_object("latent_format").latent_channels
    if not 1 <= channels <= available:
        raise ValueError(f"Channel Guidance: channels must be between 1 and {available}, got {channels}.")
    if "sampler_cfg_function" in model.model_options:
        raise ValueError(
            "Channel Guidance: another node has already replaced this model's guidance (Channel Guidance, RescaleCFG, "
            "RenormCFG or the like), and only one can act. Remove one of them."
        )
    patched = model.clone()
    patched.set_model_sampler_cfg_function(partial(channel_guidance, channels))
    return patched


def _stock_sigmas(schedule: str, model_sampling, steps: int) -> torch.Tensor:
    require_flow(model_sampling, f"The scheduler lumina_{schedule}")
    return schedule_sigmas(schedule, steps)


def check_sigmas(sigmas: torch.Tensor) -> None:
    """Raise ValueError unless sigmas are finite, within 0 and 1, and descend."""
    if not torch.isfinite(sigmas).all() or sigmas.max() > 1.0 + 1e-4 or sigmas.min() < 0.0:
        raise ValueError(
            "Flow Sampler needs sigmas between 1 (noise) and 0 (image), "
            f"got {float(sigmas.min()):.4g} to {float(sigmas.max()):.4g}. Connect Flow Schedule, or a scheduler that "
            "takes this model."
        )
    if (sigmas.diff() >= 0).any():
        raise ValueError(
            "Flow Sampler needs sigmas that descend, got equal or ascending ones. Remove Flip Sigmas, or use fewer "
            "steps."
        )


def _last_sigma(grid: torch.Tensor, method: str) -> float:
    """Return the last sigma that the solver goes to: the grid's own, or LAST_SIGMA where a stage would lie at 0."""
    if grid[-1] > 0.0 or METHODS[method].c[-1] < 1.0:
        return float(grid[-1])
    return min(LAST_SIGMA, float(grid[-2]) / 10)


def _bases(model_sampling) -> str:
    return "+".join(base.__name__ for base in type(model_sampling).__bases__)
