"""The only place where time flips: ComfyUI's sigma is 1 at noise and 0 at data, the pack's t the other way round."""

from torch import Tensor

from ....nextdit.span import Span


def flow_time(sigma: Tensor) -> Tensor:
    """Return t = 1 − sigma; of times, the sigmas."""
    return 1.0 - sigma


def time_span(sampling, start_percent: float, end_percent: float) -> Span:
    """Return the times between two percentages of a run with a model's `model_sampling`."""

    def time(percent: float) -> float:
        return min(max(1.0 - float(sampling.percent_to_sigma(percent)), 0.0), 1.0)

    # at the ends of a run core says 999999999.9 and 0, whatever the schedule
    return Span(time(start_percent), time(end_percent))
