"""Many pictures by workers on one or more machines, through Ray."""

import argparse
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from ..options import OptionError
from .jobs import Job, flag, models_of
from .latents import keep_latents

if TYPE_CHECKING:  # torch takes seconds to import: only when there is work to do
    from ..pipelines import Picture

ATTEMPTS = 3
"""How often a picture is tried whose worker dies: once may be the machine's fault, three times is the picture's."""


class Worker:
    """A process with the models in memory. Ray makes it on any machine that has what `__init__` needs."""

    def __init__(self, options: argparse.Namespace):

        self.models = models_of(options)
        with in_flags():
            self.models.network("image")  # what is missing on this machine is said at once, not picture by picture

    def paint(self, job: Job) -> "list[Picture]":
        """Return the job's pictures."""
        with in_flags():
            return job.paint(self.models)


@contextmanager
def in_flags() -> Iterator[None]:
    """Turn what is wrong with options into ValueError in the command line's words, which go to another process."""
    try:
        yield
    except OptionError as error:
        raise ValueError(error.words(flag)) from error


class WorkerPool:
    """Ray's workers, each with at most one job in hand; one that dies is replaced, and its job tried again."""

    def __init__(self, options: argparse.Namespace, count: int, ray: Any, per_worker: dict[str, float]):
        self.options, self.ray = options, ray
        self.make = ray.remote(**per_worker)(Worker).remote
        self.idle = [self.make(options) for _ in range(count)]
        self.busy: dict[Any, tuple[Any, Job]] = {}
        self.failed: list[str] = []

    def pictures(self, jobs: list[Job]) -> "Iterator[tuple[Job, list[Picture]]]":
        """Yield every job once, as it is done, with its pictures; those that cannot be done are in `failed` instead."""
        from ..pipelines import UndecodedError

        waiting, tried = deque(jobs), dict.fromkeys(map(id, jobs), 0)
        while waiting or self.busy:
            while waiting and self.idle:
                worker, job = self.idle.pop(), waiting.popleft()
                tried[id(job)] += 1
                self.busy[worker.paint.remote(job)] = worker, job
            (done,), _ = self.ray.wait(list(self.busy), num_returns=1)
            worker, job = self.busy.pop(done)
            try:
                pictures = self.ray.get(done)
            except self.ray.exceptions.RayActorError as error:
                if error.actor_init_failed:
                    raise ValueError(f"a worker could not start: {last_line(error)}") from error
                self.ray.kill(worker)  # it may only be out of reach
                self.idle.append(self.make(self.options))
                if tried[id(job)] < ATTEMPTS:
                    waiting.append(job)
                else:
                    self.failed.append(f"{job.output}: its worker died {ATTEMPTS} times")
            except self.ray.exceptions.RayTaskError as error:
                self.idle.append(worker)
                cause = getattr(error, "cause", None)
                kept = isinstance(cause, UndecodedError)
                self.failed.append(f"{job.output}: {keep_latents(cause, job.output) if kept else last_line(error)}")
            else:
                self.idle.append(worker)
                yield job, pictures


def last_line(error: Exception) -> str:
    """Return what went wrong on a worker without the way there."""
    return str(error).strip().splitlines()[-1]


def paint_with_ray(options: argparse.Namespace, jobs: list[Job]) -> None:
    """Make the jobs' pictures on a cluster and write them here, where each is written once, however often tried.

    `options.ray` is the cluster's address, "local" for one on this machine while it lasts. Raises ValueError that
    names up to ten pictures that failed, once all others are written.
    """
    try:
        import ray
    except ImportError:
        raise ValueError("--ray needs Ray, which is not installed: pip install 'lumina-next[ray]'") from None
    from tqdm import tqdm

    if not jobs:
        return

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what runs here is nobody's business, unless told so
    local = {"num_cpus": max(os.cpu_count() or 1, options.workers or 1), "include_dashboard": False}
    where = local if options.ray == "local" else {"address": options.ray}
    try:
        ray.init(**where, log_to_driver=False, logging_level=logging.WARNING)
    except ConnectionError as error:
        raise ValueError(f"no Ray cluster answers at {options.ray}: {last_line(error)}") from error
    files = sys.stdout
    try:
        with redirect_stdout(sys.stderr):  # where Ray tells of workers that die; files' names go to the other
            count, per_worker = share(ray.cluster_resources(), options.workers)
            pool = WorkerPool(options, min(count, len(jobs)), ray, per_worker)
            for job, pictures in tqdm(pool.pictures(jobs), total=len(jobs), unit="picture"):
                job.write(pictures, files)
    finally:
        ray.shutdown()
    if pool.failed:
        more = f"; and {len(pool.failed) - 10} more" if len(pool.failed) > 10 else ""
        raise ValueError(
            f"{len(pool.failed)} of {len(jobs)} pictures failed, the same command tries them again: "
            f"{'; '.join(pool.failed[:10])}{more}"
        )


def ray_address(text: str) -> str:
    """Return a cluster's address as people paste it without what is around it. Raises ValueError on a web page's."""
    found = text.strip().rstrip("/")
    if not found or found.lower().startswith(("http:", "https:")):
        raise ValueError(
            f"--ray {text!r} is no cluster's address (Ray's web page has another port), expected auto, HOST:6379 or "
            "ray://HOST:10001"
        )
    return found


def share(resources: dict[str, float], workers: int | None) -> tuple[int, dict[str, float]]:
    """Return how many workers a cluster has room for and what each takes of it: a GPU, or else its part of the CPUs."""
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    if gpus:
        return min(workers or gpus, gpus), {"num_gpus": 1, "num_cpus": 1}
    count = min(workers or 1, cpus)
    return count, {"num_cpus": cpus // count}


def check_ray(options: argparse.Namespace) -> None:
    """Raise ValueError on options that go with `--ray` or only without it."""
    if options.ray is None and options.workers is not None:
        raise ValueError("--workers goes with --ray")
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1, got {options.workers}")
    if options.ray is not None and options.prompts is None:
        raise ValueError("--ray goes with --prompts")
    if options.ray is not None and "TORCHELASTIC_RUN_ID" in os.environ:
        raise ValueError("--ray starts its own processes: run it without torchrun")
