from comfy_api.latest import io

from ...samplers import METHODS
from ..adapter.host.inputs import choice, chosen
from ..adapter.sampling import adaptive
from ..adapter.sampling import solvers as sampling

ADAPTIVE = "dopri5"
# midpoint first: the first entry is what a new node shows.
NAMES = ["midpoint", *(name for name in METHODS if name != "midpoint")]
PARAMETERS: dict[str, list[str]] = {name: [] for name in NAMES} | {ADAPTIVE: ["rtol", "atol"]}


def _tolerance(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=0.01, min=1e-6, max=1.0, step=0.001, round=False, tooltip=tooltip)


class FlowSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        costs = ", ".join(f"{name} {METHODS[name].stages}" for name in NAMES)
        tolerances = [
            _tolerance("rtol", "Error allowed in a step, as a part of the value. Smaller is slower and closer."),
            _tolerance("atol", "Error allowed in a step, absolute. Smaller is slower and closer."),
        ]
        return io.Schema(
            node_id="LuminaNextFlowSampler",
            display_name="Flow Sampler",
            category="Lumina-Next/sampling",
            description="Runge-Kutta solvers for flow models (Lumina, SD3, Flux and the like).",
            inputs=choice(
                "method",
                {name: [] for name in NAMES} | {ADAPTIVE: tolerances},
                tooltip=f"Model evaluations per step: {costs}. The costlier ones need fewer steps; midpoint suits 5 to "
                f"15 steps. {ADAPTIVE} chooses its steps itself, and takes only the first and the last sigma.",
            ),
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom and SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, method: str | dict, **flat: float) -> io.NodeOutput:
        name, tolerances = chosen("method", method, flat, PARAMETERS)
        if name == ADAPTIVE:
            return io.NodeOutput(adaptive.adaptive_sampler(**tolerances))
        return io.NodeOutput(sampling.solver_sampler(name))
