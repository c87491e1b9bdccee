"""CUDA graphs: small networks wait for the launches of their kernels, which a graph makes one."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from ...samplers.solvers import Velocity

Step = Callable[[], Tensor]


def recorded(step: Step, device: torch.device, graphs: bool = True) -> Step:
    """Return a step without arguments whose kernels are recorded and replayed, on a GPU; the step itself elsewhere."""
    if device.type != "cuda" or not graphs:
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


def recorded_velocity(velocity: Velocity, x: Tensor) -> Velocity:
    """Return a velocity for states of x's shape, recorded on a GPU where what it calls can be."""
    if x.device.type != "cuda":
        return velocity
    now, at = x.clone(), torch.zeros((), device=x.device)
    try:
        step = recorded(lambda: velocity(now, at), x.device)
    except RuntimeError as error:  # something waits for the GPU in there
        logging.warning("not recorded as a graph: %s", error)
        torch.cuda.synchronize()
        return velocity

    def run(x: Tensor, t: Tensor) -> Tensor:
        now.copy_(x)
        at.copy_(t)
        return step().clone()

    return run
