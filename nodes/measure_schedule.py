from comfy_api.latest import io, ui

from ..samplers import METHODS
from .adapter import measured_curve, measuring


class MeasureSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextMeasureSchedule",
            display_name="Measured Schedule",
            category="Lumina-Next/sampling",
            description="Few-step sigmas for your model and prompt: measures where this flow is hard to integrate, and "
            "puts the steps there. For flow models (Lumina, SD3, Flux and the like).",
            inputs=[
                io.Noise.Input("noise", tooltip="What to measure on. It need not be the noise you sample with."),
                io.Guider.Input("guider", tooltip="Model, prompts and cfg, as you connect them to the sampler."),
                io.Latent.Input("latent_image", tooltip="Gives the size; with denoise below 1 also the start."),
                io.Combo.Input(
                    "method",
                    options=["midpoint", *(name for name in METHODS if name != "midpoint")],
                    tooltip="The method of the Flow Sampler that will take the steps. For stock samplers: euler.",
                ),
                io.Int.Input("steps", default=6, min=1, max=100, tooltip="Number of steps the sampler takes."),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.01,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 starts from the latent you connect: denoise is the first sigma.",
                ),
                io.Int.Input(
                    "probe_steps",
                    default=15,
                    min=4,
                    max=100,
                    tooltip="How finely the flow is measured, at two model evaluations each; then up to five schedules "
                    "are tried out. For 6 Euler steps all of it costs what 60 Euler steps cost.",
                ),
                io.Int.Input(
                    "samples",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="How many noises are measured; the cost grows with them. More make the schedule steadier.",
                ),
            ],
            outputs=[
                io.Sigmas.Output("sigmas", tooltip="For SamplerCustom and SamplerCustomAdvanced."),
                io.String.Output(
                    "text",
                    display_name="text",
                    tooltip="The sigmas as text. Paste them into ManualSigmas to keep them.",
                ),
            ],
        )

    @classmethod
    def execute(cls, noise, guider, latent_image, method, steps, denoise, probe_steps, samples) -> io.NodeOutput:
        flow = measuring.Measurement(noise, guider, latent_image, probe_steps, samples, denoise)
        sigmas = flow.sigmas(steps, method)
        title = f"{method}, {steps} steps; measuring took {flow.evaluations} evaluations"
        picture = measured_curve.draw_measured(flow.path, sigmas, title)
        return io.NodeOutput(sigmas, measuring.as_text(sigmas), ui=ui.PreviewImage(picture, cls=cls))
