"""A training step as one CUDA graph, for networks so small that starting kernels takes longer than they run."""

import argparse
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from .optimisation import Warmup, step_partly
from .state import Run
from .trainer import Batches, Task, Trainer


class GraphTask(Task, Protocol):
    """A task whose loss is of tensors on the device, of the same shapes in every step."""

    def inputs(self, model: Any, batch: Any) -> Sequence[Tensor]:
        """Return what the loss of a batch is computed from."""

    def loss_of(self, model: Any, inputs: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """Return the loss of that, without waiting for the device."""


class GraphTrainer(Trainer):
    """A Trainer on a CUDA device that records loss, gradients and update once, and then replays them.

    A graph cannot see the schedule's rate: optimizers step at their whole one, and part of the way is kept.
    """

    WARM = 3  # steps before recording: they allocate the optimizers' states

    def __init__(self, run: Run, task: GraphTask, batches: Batches, schedule: Warmup, options: argparse.Namespace):
        super().__init__(run, task, batches, schedule, options)
        if self.device.type != "cuda":
            raise ValueError(f"graphs are recorded on CUDA devices, this is {self.device}: leave out --graph")
        for optimizer in run.optimizers:
            for group in optimizer.param_groups:
                if "capturable" in group:
                    group["capturable"] = True
        for module in run.model.modules():
            if isinstance(module, torch.nn.RMSNorm):  # has a kernel of its own for one dtype only
                module.register_forward_pre_hook(in_its_dtype)
        self.task: GraphTask = task
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream, self.warmed = torch.cuda.Stream(self.device), 0
        self.generator = torch.Generator(self.device).manual_seed(1_000_003 * options.seed + run.step)
        self.factor, self.moved = (torch.zeros((), device=self.device) for _ in range(2))

    def step(self, batch: Any) -> Tensor:
        run, inputs = self.run, self.task.inputs(self.run.model, batch)
        self.factor.fill_(self.schedule(run.step, self.spent))
        self.moved.fill_(run.average.counted())
        if self.graph is None and self.warmed < self.WARM:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                self.loss = self.update(inputs)
            torch.cuda.current_stream().wait_stream(self.stream)
            self.warmed += 1
        else:
            self.replay(inputs)
        run.step += 1
        return self.loss.detach()

    def replay(self, inputs: Sequence[Tensor]) -> None:
        """Do a step with the graph, recorded if it is the first."""
        if self.graph is None:
            self.given, graph = [x.clone() for x in inputs], torch.cuda.CUDAGraph()
            graph.register_generator_state(self.generator)
            with torch.cuda.graph(graph, stream=self.stream):
                self.loss = self.update(self.given)
            self.graph = graph
        for place, x in zip(self.given, inputs, strict=True):
            place.copy_(x)
        self.graph.replay()

    def update(self, inputs: Sequence[Tensor]) -> Tensor:
        """Do a step from tensors alone, and return its loss."""
        parameters: list[Tensor] = list(self.run.model.parameters())
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):  # a graph cannot share its cache
            loss = self.task.loss_of(self.run.model, inputs, self.generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        step_partly(self.run.optimizers, parameters, self.factor)
        self.run.average.move(self.run.model.named_parameters(), self.moved)
        return loss.detach()


def in_its_dtype(norm: torch.nn.RMSNorm, given: tuple[Tensor]) -> tuple[Tensor]:
    """Return what a norm is given in the dtype of its weight."""
    return (given[0].to(norm.weight.dtype),)
