from comfy_api.latest import io

from ...samplers.sde import DIFFUSIONS, LAST_STEP_SIZE, LAST_STEPS, NORM, SDE_METHODS
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.sampling.sde import sde_sampler


def _said(options: dict) -> str:
    return "; ".join(f"{name}: {getattr(what, 'tooltip', what)}" for name, what in options.items())


def _number(parameter, tooltip: str) -> io.Input:
    p = parameter
    return io.Float.Input(
        p.name, default=p.default, min=p.minimum, max=p.maximum, step=p.step, **ADVANCED, tooltip=tooltip
    )


class FlowSdeSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextFlowSDESampler",
            display_name="Flow SDE Sampler",
            category="Lumina-Next/sampling",
            description="Samples a flow model with new noise in every step, as the reference code of the ImageNet "
            "models can. It wants many steps: 100 and more.",
            search_aliases=(
                "sde, stochastic, ancestral, euler maruyama, langevin, noise, flow matching sampler, 随机采样, "
                "随机微分方程, 隨機採樣, 確率的サンプラー"
            ).split(", "),
            inputs=[
                io.Combo.Input("method", options=list(SDE_METHODS), tooltip=f"{_said(SDE_METHODS)}."),
                io.Combo.Input(
                    "diffusion",
                    options=list(DIFFUSIONS),
                    **ADVANCED,
                    tooltip=f"When noise is added. {_said(DIFFUSIONS)}.",
                ),
                _number(NORM, NORM.tooltip),
                io.Combo.Input(
                    "last_step",
                    options=list(LAST_STEPS),
                    **ADVANCED,
                    tooltip=f"How the last step goes, which adds no noise. {_said(LAST_STEPS)}.",
                ),
                _number(LAST_STEP_SIZE, LAST_STEP_SIZE.tooltip),
            ],
            outputs=[io.Sampler.Output(tooltip="For SamplerCustom and SamplerCustomAdvanced.")],
        )

    @classmethod
    def execute(cls, method: str, diffusion: str, norm: float, last_step: str, last_step_size: float) -> io.NodeOutput:
        options = {"diffusion": diffusion, "norm": norm, "last_step": last_step, "last_step_size": last_step_size}
        return io.NodeOutput(sde_sampler(method=method, **options))
