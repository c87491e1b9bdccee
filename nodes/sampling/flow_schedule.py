from comfy_api.latest import io, ui

from ...samplers import SCHEDULES
from ..adapter.host.inputs import choice, chosen, parameter_inputs
from ..adapter.host.schema import schema
from ..adapter.sampling.schedules import schedule_sigmas
from ..drawing import curve

PARAMETERS = {s.name: [p.name for p in s.parameters] for s in SCHEDULES.values()}


class FlowSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        kinds = " ".join(f"{s.name.capitalize()}: {s.tooltip}" for s in SCHEDULES.values())
        return schema(
            node_id="LuminaNextFlowSchedule",
            display_name="Flow Schedule",
            category="Lumina-Next/sampling",
            description="Sigmas for flow models: uniform, rational or sigmoid in time. Shows the curve.",
            search_aliases=(
                "sigmas, sigma, scheduler, schedule, noise schedule, timesteps, time shift, shift, "
                "flow matching, rational, sigmoid, uniform, denoise, 调度器, 噪声调度, 排程, スケジューラ, "
                "シグマ"
            ).split(", "),
            inputs=[
                *choice(
                    "schedule",
                    {schedule.name: parameter_inputs(schedule) for schedule in SCHEDULES.values()},
                    tooltip=f"How the steps are spread over time. {kinds}",
                ),
                io.Int.Input("steps", default=30, min=1, max=10000, tooltip="Number of steps the sampler takes."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1, sampling starts from the connected latent: the lower, the more of it is kept. "
                    "The number of steps stays the same.",
                ),
            ],
            is_output_node=True,  # runs alone, to be looked at
            outputs=[io.Sigmas.Output(tooltip="For SamplerCustom and SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, schedule: str | dict, steps: int, denoise: float, **flat: float) -> io.NodeOutput:
        name, parameters = chosen("schedule", schedule, flat, PARAMETERS)
        sigmas = schedule_sigmas(name, steps, denoise, **parameters)
        title = ", ".join([name, *(f"{key} {value:g}" for key, value in parameters.items())])
        return io.NodeOutput(sigmas, ui=ui.PreviewImage(curve.draw_sigmas(sigmas, title), cls=cls))
