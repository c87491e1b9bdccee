"""The command line under `torchrun`: several processes, one picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def joined(device: str | None) -> Iterator[bool]:
    """Join the processes that torchrun started, if it did, each with a GPU of its own; yields whether to report.

    The first one does, or the only one. `device` is the name that the user gave. Raises ValueError if there are fewer
    GPUs than processes, unless they work on the CPU.
    """
    import torch
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield True
        return
    index = int(os.environ["LOCAL_RANK"])
    if device != "cpu" and torch.accelerator.is_available():
        if index >= (count := torch.accelerator.device_count()):
            raise ValueError(
                f"torchrun started {os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {count} GPUs; "
                "start one for each, or add --device cpu"
            )
        torch.accelerator.set_device_index(index)
    dist.init_process_group()
    try:
        yield dist.get_rank() == 0
        dist.barrier()  # one that ends while another still works takes its connections along
    finally:
        dist.destroy_process_group()


def several() -> bool:
    """Whether this is one of several processes that have joined."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def of_the_first(values: list[T]) -> list[T]:
    """Return the first process's list on all that have joined: they must do the same, and see different folders."""
    import torch.distributed as dist

    if not several():
        return values
    shared = [values]
    dist.broadcast_object_list(shared)
    return shared[0]
