"""Means and differences over seeds, with what three seeds allow to say."""

import math
from collections.abc import Sequence

T_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Student's t for 95 %, two-sided, by degrees of freedom."""


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """Return the mean of a number for each seed, and its 95 % interval by Student's t. ValueError for less than two."""
    if len(values) < 2:
        raise ValueError(f"an interval takes two seeds or more, got {len(values)}")
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = T_95.get(len(values) - 1, 1.96) * math.sqrt(variance / len(values))
    return {"value": mean, "low": mean - half, "high": mean + half, "n": len(values)}


def paired(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return by how much a number exceeds another of the same seed, as `over_seeds`."""
    return over_seeds([a - b for a, b in zip(values, others, strict=True)])
