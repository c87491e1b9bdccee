from comfy_api.latest import io

from ...nextdit.files import fingerprint
from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.models import loading


class LoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadModel",
            display_name="Load Lumina-Next Model",
            category="Lumina-Next/loaders",
            description="Load a Next-DiT in the reference or diffusers layout: a file, or a downloaded repository.",
            search_aliases=(
                "nextdit, next-dit, lumina, lumina t2x, load checkpoint, load diffusion model, unet loader, "
                "diffusers loader, text to image model, 模型加载, 加载模型, 模型加載, モデル読み込み, "
                "チェックポイント"
            ).split(", "),
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
                    **ADVANCED,
                    tooltip="How weights are kept in memory. fp8 halves their size at some loss; _fast also multiplies "
                    "in fp8 on GPUs that can.",
                ),
            ],
            outputs=[io.Model.Output(tooltip="For any sampler, patch or LoRA node.")],
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, **_) -> str:
        return fingerprint(loading.find(model_name))

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str) -> io.NodeOutput:
        model = loading.load(loading.find(model_name), weight_dtype)
        tell(loading.describe(model))
        return io.NodeOutput(model)
