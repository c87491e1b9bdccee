"""What every solver for flow models needs of ComfyUI: a model that is one, sigmas that descend, and its velocity."""

import comfy.model_sampling
import torch

from ..host.time import sigma_at


class FlowVelocity:
    """A sampler's model as velocity(x, t) = dx/dt, t = 1 - sigma below 1; remembers the `last` one and counts them."""

    def __init__(self, model, extra_args: dict | None):
        self.model, self.extra_args = model, extra_args or {}
        self.last, self.evaluations = torch.zeros(()), 0

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        sigmas = x.new_ones(len(x)) * sigma_at(t)  # a number of the kernel: what the CPU copies over, a GPU waits for
        denoised = self.model(x, sigmas, **self.extra_args)
        self.last = (denoised - x) / sigmas.view(-1, *[1] * (x.ndim - 1))
        self.evaluations += 1
        return self.last


def require_flow(model_sampling, what: str) -> None:
    """Raise ValueError unless the model's sampling is a flow from sigma 1 to 0 (Lumina, SD3, Flux, Z-Image, ...)."""
    if not isinstance(model_sampling, comfy.model_sampling.CONST) or float(model_sampling.sigma_max) > 1.0 + 1e-4:
        bases = "+".join(base.__name__ for base in type(model_sampling).__bases__)
        raise ValueError(
            f"{what} is for flow models, whose sigma runs from 1 to 0 (Lumina, SD3, Flux and the like), and this "
            f"model's starts at {float(model_sampling.sigma_max):.4g} ({bases}); use a stock sampler and scheduler "
            "with it"
        )


def check_sigmas(sigmas: torch.Tensor, what: str = "Flow Sampler") -> None:
    """Raise ValueError, naming what samples, unless sigmas are finite, within 0 and 1, and descend."""
    if not torch.isfinite(sigmas).all() or sigmas.max() > 1.0 + 1e-4 or sigmas.min() < 0.0:
        raise ValueError(
            f"{what} needs sigmas between 1 (noise) and 0 (image), "
            f"got {float(sigmas.min()):.4g} to {float(sigmas.max()):.4g}; connect Flow Schedule, or a scheduler that "
            "takes this model"
        )
    if (sigmas.diff() >= 0).any():
        raise ValueError(
            f"{what} needs sigmas that descend, got equal or ascending ones; remove Flip Sigmas, or use fewer steps"
        )
