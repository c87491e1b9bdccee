"""The command line under `torchrun`: several processes, one picture."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from torch import Tensor

    from ..nextdit import NextDiT


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


def agreed(jobs: list) -> list:
    """Return the first process's list on all that have joined: they must do the same, and see different folders."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        together = [jobs]
        dist.broadcast_object_list(together)
        return together[0]
    return jobs


def shared(model: "NextDiT") -> "Callable[..., Tensor]":
    """Return the network's call: by rows where several processes have joined, else its own."""
    import torch.distributed as dist

    from ..nextdit.parallel import forward_by_rows

    return partial(forward_by_rows, model) if dist.is_available() and dist.is_initialized() else model
