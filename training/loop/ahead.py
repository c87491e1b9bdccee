"""Batches planned ahead by other processes, for a device that is faster than the one that plans."""

from collections.abc import Iterator
from multiprocessing import get_context
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset


class PlannedBatches(Protocol):
    """Batches in two halves: what any process can plan, and what the device makes of it."""

    def plan(self, step: int, spent: float) -> Any:
        """Return what a batch is to be, without tensors: processes pass those slowly."""

    def finish(self, plan: Any) -> Any:
        """Return the batch of a plan."""


class _Plans(Dataset[Any]):
    def __init__(self, batches: PlannedBatches, spent: Any):
        self.batches, self.spent = batches, spent

    def __getitem__(self, step: int) -> Any:
        return self.batches.plan(step, self.spent.value)


class Ahead:
    """Draws what `batches` would, planned by `workers` processes; asks for steps one after the other.

    A batch is planned for the part of the run that is over some steps before its own.
    """

    def __init__(self, batches: PlannedBatches, workers: int):
        self.batches, self.workers = batches, workers
        self.spent = get_context("fork").Value("d", 0.0)
        self.plans: Iterator[Any] | None = None

    def draw(self, step: int, spent: float) -> Any:
        """Return the batch of a step."""
        self.spent.value = spent
        if self.plans is None:
            self.plans = iter(
                DataLoader(
                    _Plans(self.batches, self.spent),
                    batch_size=None,
                    sampler=range(step, 10**9),
                    num_workers=self.workers,
                    collate_fn=_as_it_is,
                    prefetch_factor=4,
                    multiprocessing_context="fork",
                )
            )
        return self.batches.finish(next(self.plans))


def _as_it_is(plan: Any) -> Any:
    return plan
