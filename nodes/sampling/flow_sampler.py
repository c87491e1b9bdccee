from comfy_api.latest import io

from ...samplers import ADAPTIVE, METHODS
from ..adapter.host.inputs import choice, chosen, parameter_inputs
from ..adapter.host.schema import schema
from ..adapter.sampling import solvers

# midpoint first: the first entry is what a new node shows.
NAMES = ["midpoint", *(name for name in METHODS if name != "midpoint")]
PARAMETERS: dict[str, list[str]] = {name: [] for name in NAMES} | {ADAPTIVE.name: [p.name for p in ADAPTIVE.parameters]}


def _tolerances() -> list[io.Input]:
    inputs = parameter_inputs(ADAPTIVE)
    for tolerance in inputs:
        tolerance.round = False  # to a step of 0.001, 1e-6 would be 0
    return inputs


class FlowSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        costs = ", ".join(f"{name} {METHODS[name].stages}" for name in NAMES)
        return schema(
            node_id="LuminaNextFlowSampler",
            display_name="Flow Sampler",
            category="Lumina-Next/sampling",
            description="Runge-Kutta solvers for flow models (Lumina, SD3, Flux and the like).",
            search_aliases=(
                "midpoint, solver, ode solver, runge kutta, rk4, heun, ralston, dopri5, adaptive step, "
                "few steps, fewer steps, flow matching sampler, 采样器, 求解器, 中点法, 採樣器, サンプラー, "
                "ソルバー"
            ).split(", "),
            inputs=choice(
                "method",
                {name: [] for name in NAMES} | {ADAPTIVE.name: _tolerances()},
                tooltip=f"Model evaluations per step: {costs}. The costlier ones need fewer steps; midpoint suits 5 to "
                f"15 steps. {ADAPTIVE.name} {ADAPTIVE.tooltip[0].lower()}{ADAPTIVE.tooltip[1:]}",
            ),
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom and SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, method: str | dict, **flat: float) -> io.NodeOutput:
        name, tolerances = chosen("method", method, flat, PARAMETERS)
        if name == ADAPTIVE.name:
            return io.NodeOutput(solvers.adaptive_sampler(**tolerances))
        return io.NodeOutput(solvers.solver_sampler(name))
