from comfy_api.latest import io

from ..adapter.models import loading


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LuminaNextLoadModel",
            display_name="Load Lumina-Next Model",
            category="Lumina-Next/loaders",
            description="Load a Next-DiT in the reference or diffusers layout: a file, or a downloaded repository.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=loading.model_names(),
                    tooltip="A file in models/diffusion_models, or a downloaded repository (folder) there or in "
                    "models/diffusers.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(loading.WEIGHT_DTYPES),
                    default="default",
                    tooltip="How weights are kept in memory. fp8 halves their size at some loss; _fast also multiplies "
                    "in fp8 on GPUs that can.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="For any sampler, patch or LoRA node.")],
        )

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str) -> io.NodeOutput:
        return io.NodeOutput(loading.load(loading.find(model_name), weight_dtype))
