"""What the processes of test_parallel.py run: a network by rows, against the same network alone.

`python parallel_worker.py COUNT …` lets so many work together, for each count in turn; forks, so as to import once.
"""

import multiprocessing
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from lumina_next.benchmarks.step.models import random_weights
from lumina_next.nextdit import ContextDrop, NextDiT, NextDiTConfig, RopeScaling
from lumina_next.nextdit.layers.attend import default_attend
from lumina_next.nextdit.parallel import forward_by_rows

CONFIG = NextDiTConfig(dim=96, n_layers=3, n_heads=4, n_kv_heads=2, text_dim=40)
OPTIONS = [
    {},
    {"rope": RopeScaling("time_aware_late", 2.0)},
    {"rope": RopeScaling("frequency_aware", (1.5, 3.0), train_tokens=8, proportional=True)},
    {"drop": ContextDrop(2)},
    {"drop": ContextDrop(2, "none", before_rope=True), "rope": RopeScaling("time_aware", 2.0)},
    {"drop": ContextDrop(2, start=0.9)},
]


def inputs(height: int, width: int, dtype: torch.dtype):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, height, width, generator=g).to(dtype)
    text = torch.randn(2, 7, CONFIG.text_dim, generator=g).to(dtype)
    return x, torch.full((2,), 0.35), text, torch.arange(7)[None] < torch.tensor([[7], [3]])


def largest_difference(options: dict, size: tuple[int, int], dtype: torch.dtype) -> float:
    """Return how far the processes together are from one alone, relative to the largest value."""
    model, asked = NextDiT(CONFIG), []
    random_weights(model)
    model.to(dtype)

    def attend(q, k, v, mask=None):
        asked.append((q.shape[2], k.shape[2]))
        return default_attend(q, k, v, mask)

    alone = model(*inputs(*size, dtype), **options)
    together = forward_by_rows(model, *inputs(*size, dtype), attend=attend, **options)
    tokens = -(-size[0] // 2) * -(-size[1] // 2)
    assert all(queries <= 0.7 * tokens for queries, _ in asked)  # no process did the work of all
    assert together.dtype is alone.dtype and together.shape == alone.shape
    return ((together - alone).abs().max() / alone.abs().max()).item()


def work(rank: int, count: int, meeting: Path) -> None:
    """Compare as one of `count` processes, and print the error that a picture with too few rows is."""
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=count)
    with torch.no_grad():
        for options in OPTIONS:
            for size in ((12, 20), (13, 7)):
                difference = largest_difference(options, size, torch.float32)
                assert difference < 1e-5, f"{options} {size}: {difference}"
        assert largest_difference(OPTIONS[3], (14, 10), torch.bfloat16) < 0.05
        try:
            forward_by_rows(NextDiT(CONFIG), *inputs(2, 20, torch.float32))
        except ValueError as error:
            sys.stdout.write(f"{count} processes: {error}\n")
            sys.stdout.flush()
    dist.destroy_process_group()


def main(counts: list[int]) -> None:
    """Print how each count's processes ended."""
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            meeting = Path(folder) / "meeting"
            workers = [context.Process(target=work, args=(rank, count, meeting)) for rank in range(count)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        sys.stdout.write(f"{count} processes ended with {[worker.exitcode for worker in workers]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main([int(count) for count in sys.argv[1:]])
