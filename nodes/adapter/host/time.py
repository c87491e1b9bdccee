"""The only place where time flips: ComfyUI's sigma is 1 at noise and 0 at data, the pack's t the other way round."""

from typing import TypeVar

from torch import Tensor

from ....nextdit.span import Span

Time = TypeVar("Time", float, Tensor)


def flow_time(sigma: Time) -> Time:
    """Return t = 1 − sigma."""
    return 1.0 - sigma


def sigma_at(t: Time) -> Time:
    """Return sigma = 1 − t."""
    return 1.0 - t


def time_span(sampling, start_percent: float, end_percent: float) -> Span:
    """Return the times between two percentages of a run with a model's `model_sampling`."""

    def time(percent: float) -> float:
        return min(max(flow_time(float(sampling.percent_to_sigma(percent))), 0.0), 1.0)

    # at the ends of a run core says 999999999.9 and 0, whatever the schedule
    return Span(time(start_percent), time(end_percent))
