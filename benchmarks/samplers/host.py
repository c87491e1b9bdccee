"""ComfyUI's own samplers and its `simple` schedule on a flow; needs a ComfyUI on the path."""

from types import SimpleNamespace
from typing import Any

import comfy.k_diffusion.sampling
import comfy.model_sampling
import comfy.samplers
import torch
from torch import Tensor

from ...samplers.solvers import Velocity


class FlowSampling(comfy.model_sampling.ModelSamplingDiscreteFlow, comfy.model_sampling.CONST):
    """What core's flow models sample by, with a shift as ModelSamplingAuraFlow sets it."""

    def __init__(self, shift: float):
        super().__init__()
        self.set_parameters(shift=shift, multiplier=1.0)


class Denoiser:
    """A velocity as core's samplers call models: (x, sigma) → the clean picture."""

    def __init__(self, velocity: Velocity, sampling: FlowSampling):
        self.velocity, self.sampling = velocity, sampling
        self.inner_model = SimpleNamespace(model_patcher=self)

    def get_model_object(self, name: str) -> Any:
        return {"model_sampling": self.sampling}[name]

    def __call__(self, x: Tensor, sigma: Tensor, **extra: Any) -> Tensor:
        return x + sigma[0] * self.velocity(x, 1 - sigma[0])


def simple_times(shift: float, steps: int) -> Tensor:
    """Return the times (steps + 1,) of core's `simple` schedule at a shift."""
    return 1 - comfy.samplers.calculate_sigmas(FlowSampling(shift), "simple", steps).double()


def run(name: str, velocity: Velocity, x: Tensor, sigmas: Tensor, seed: int = 0) -> Tensor:
    """Return where one of core's samplers ends, from noise x (B, C, H, W)."""
    sampler = getattr(comfy.k_diffusion.sampling, f"sample_{name}")
    torch.manual_seed(seed)
    model = Denoiser(velocity, FlowSampling(1.0))
    return sampler(model, x, sigmas.to(x.device), extra_args={"seed": seed}, disable=True)
