from comfy_api.latest import io

from ...nextdit.files import fingerprint
from ..adapter.host.progress import tell
from ..adapter.host.schema import ADVANCED, schema
from ..adapter.lora import apply as lora


class LoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadLora",
            display_name="Load Lumina-Next LoRA",
            category="Lumina-Next/loaders",
            description="Load a LoRA for Lumina-Next, Lumina-Image-2.0 or Z-Image in any naming: ComfyUI, kohya, PEFT, "
            "diffusers, DiffSynth, LyCORIS or the reference code. Says what does not fit, which the stock loader "
            "skips.",
            search_aliases=(
                "lora, lora loader, load lora, z-image lora, dora, loha, lokr, lycoris, peft, adapter, "
                "微调, LoRA 加载, LoRA 読み込み"
            ).split(", "),
            inputs=[
                io.Model.Input("model", tooltip="A model of Lumina-Next, Lumina-Image-2.0 or Z-Image."),
                io.Combo.Input(
                    "lora_name",
                    options=lora.lora_names(),
                    tooltip="A file in models/loras: LoRA, DoRA, LoHa, LoKr, GLoRA, OFT, BOFT or plain differences.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-100.0,
                    max=100.0,
                    step=0.01,
                    tooltip="How strongly it changes the model: 0 not at all, below 0 the other way.",
                ),
                io.Combo.Input(
                    "unmatched",
                    options=["error", "skip"],
                    default="error",
                    **ADVANCED,
                    tooltip="Keys of the file that this model has no weight for. error: stop and name them. skip: load "
                    "the rest, and name them in the report and the log.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="The model with the LoRA on it, for any sampler or further patch."),
                io.LoraModel.Output(
                    display_name="lora",
                    tooltip="The LoRA in ComfyUI's naming: Save LoRA Weights makes a file of it that stock loaders and "
                    "LoRA hooks read.",
                ),
                io.String.Output(display_name="report", tooltip="What was loaded, averaged and skipped."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, lora_name: str, **_) -> str:
        return fingerprint(lora.find(lora_name))

    @classmethod
    def execute(cls, model, lora_name: str, strength: float, unmatched: str) -> io.NodeOutput:
        loaded = lora.load(model, lora.find(lora_name), keep_unmatched=unmatched == "skip")
        tell(loaded.report())
        return io.NodeOutput(lora.apply(model, loaded, strength), loaded.weights, loaded.report())
