from comfy_api.latest import io

from ..samplers import METHODS
from .adapter import sampling


class FlowSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextFlowSampler",
            display_name="Flow Sampler",
            category="Lumina-Next/sampling",
            description="Runge-Kutta solvers for flow models (Lumina, SD3, Flux and the like).",
            inputs=[
                io.Combo.Input(
                    "method",
                    options=list(METHODS),
                    default="midpoint",
                    tooltip="Model evaluations per step: "
                    + ", ".join(f"{name} {tableau.stages}" for name, tableau in METHODS.items())
                    + ". The costlier ones need fewer steps; midpoint suits 5 to 15 steps.",
                )
            ],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom and SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, method: str) -> io.NodeOutput:
        return io.NodeOutput(sampling.solver_sampler(method))
