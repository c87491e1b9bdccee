"""Draw pictures with a NextDiT: noise, an ODE solver, guidance."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...nextdit import Call, ContextDrop, MultiViewNextDiT, NextDiT, RopeScaling, Views
from ...nextdit.layers.attend import default_attend
from ...nextdit.text import TextEncoder
from ...samplers import guide, integrate, times
from .attention import within_frames


def noise(seeds: Sequence[int], height: int, width: int, channels: int = 3) -> Tensor:
    """Return noise (B, C, H, W) in which row i depends on seeds[i] and the size only."""
    return torch.stack(
        [torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )


@torch.inference_mode()
def sample(
    model: NextDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    x: Tensor,
    *,
    steps: int = 20,
    method: str = "euler",
    schedule: str = "uniform",
    guidance: float = 1.0,
    rope: RopeScaling | None = None,
    drop: ContextDrop | None = None,
    begin: float = 0.0,
    **parameters: float,
) -> Tensor:
    """Integrate from x (B, C, H, W), noise or what stands at t = `begin`, to pictures of the prompts.

    The schedule, of which `parameters` are the options, is squeezed into the time that is left.
    """
    dtype, device = model.x_embedder.weight.dtype, model.x_embedder.weight.device
    guided = guidance != 1.0
    text, mask = encoder([*prompts, *([""] * len(prompts) if guided else [])])
    text, mask, x = text.to(device, dtype), mask.to(device).bool(), x.to(device)

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        rows = 2 if guided else 1
        v = model(x.repeat(rows, 1, 1, 1), t.expand(len(x)).repeat(rows), text, mask, rope=rope, drop=drop)
        return guide(*v.chunk(2), guidance) if guided else v

    grid = begin + (1 - begin) * times(schedule, steps, **parameters)
    return integrate(velocity, x, grid.to(device), method)


@torch.inference_mode()
def sample_views(
    model: MultiViewNextDiT,
    encoder: TextEncoder,
    prompts: Sequence[str],
    azimuths: Tensor,
    x: Tensor,
    *,
    image: Tensor | None = None,
    steps: int = 20,
    method: str = "euler",
    schedule: str = "uniform",
    text_guidance: float = 1.0,
    image_guidance: float = 1.0,
    cross_view: bool = True,
    drop: ContextDrop | None = None,
    positions: Sequence[Tensor] | None = None,
    **parameters: float,
) -> Tensor:
    """Integrate from noise x (B, N, C, H, W) to views at azimuths (B, N), in degrees, of the prompts and images.

    Guided by v∅ + s_I (v_I − v∅) + s_T (v_IT − v_I), or without image (B, C, H, W) by v∅ + s_T (v_T − v∅); with empty
    prompts by v∅ + s_I (v_I − v∅). Without `cross_view` no frame sees another (an ablation). `parameters`
    are the schedule's.
    """
    weight = model.x_embedder.weight
    x, azimuths = x.to(weight.device, weight.dtype), azimuths.to(weight.device)
    image = None if image is None else image.to(weight.device, weight.dtype)
    s_text = text_guidance if any(prompts) else 0.0
    s_image = image_guidance if image is not None else 1.0
    # what each velocity counts: the sum above, sorted by what it is conditioned on
    terms = [(s_text, prompts, image), (s_image - s_text, [""] * len(prompts), image)]
    terms += [(1.0 - s_image, [""] * len(prompts), None)]
    encoded = [(factor, *encoder(list(texts)), given) for factor, texts, given in terms if factor]

    def velocity(x: Tensor, t: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for factor, text, mask, given in encoded:
            frames = x.shape[1] + (given is not None)
            call = Call.of(
                t,
                model.config.n_layers,
                drop,
                attend=default_attend if cross_view else within_frames(default_attend, frames),
                cross=default_attend,
                positions=positions,
            )
            views = Views(x, azimuths, given)
            total += factor * model.velocity(views, t.expand(len(x)), text.to(x), mask.to(x.device).bool(), call)
        return total

    return integrate(velocity, x, times(schedule, steps, **parameters).to(x.device), method)
