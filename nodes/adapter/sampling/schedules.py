"""The pack's schedules as SIGMAS, and as entries of ComfyUI's scheduler dropdowns."""

from functools import partial

import comfy.samplers
import torch

from ....samplers import SCHEDULES, denoise_times
from ..host.time import sigma_at
from .flow import require_flow


def schedule_sigmas(schedule: str, steps: int, denoise: float = 1.0, **parameters: float) -> torch.Tensor:
    """Return a schedule as ComfyUI's SIGMAS, 1 - times: (steps + 1,) float32 on the CPU, descending to exactly 0.

    Empty for denoise 0, so that a sampler returns its latent unchanged.
    Raises ValueError as `samplers.denoise_times` does, and when two sigmas coincide (some stock samplers would then
    divide by zero).
    """
    sigmas = sigma_at(denoise_times(schedule, steps, denoise, **parameters))
    if (sigmas.diff() >= 0).any():
        raise ValueError(
            f"the schedule {schedule} with {parameters} puts some of {steps} steps closer together than float32 can "
            "tell apart; use fewer steps or milder parameters"
        )
    return sigmas


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


def _stock_sigmas(schedule: str, model_sampling, steps: int) -> torch.Tensor:
    require_flow(model_sampling, f"the scheduler lumina_{schedule}")
    return schedule_sigmas(schedule, steps)
