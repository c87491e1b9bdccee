from comfy_api.latest import io

from ..adapter.host.schema import ADVANCED, schema
from ..adapter.models.demo import demo_first
from ..adapter.text.clip import WEIGHT_DTYPES, load_clip
from ..adapter.text.folders import llm_fingerprint, llm_folder, llm_folders


class LoadTextEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadTextEncoder",
            display_name="Load LLM Text Encoder (Gemma)",
            category="Lumina-Next/loaders",
            description="Loads a language model folder (Gemma-2B for Lumina-Next; LLaMA, Qwen, InternLM) as CLIP, "
            "for CLIP Text Encode and the conditioning nodes.",
            search_aliases=(
                "gemma, llama, llm, qwen, internlm, mistral, language model, load clip, clip loader, "
                "text encoder, text encoder loader, 大语言模型, 语言模型, 文本编码器, 文字編碼器, "
                "大規模言語モデル, テキストエンコーダ"
            ).split(", "),
            inputs=[
                io.Combo.Input(
                    "text_encoder",
                    options=demo_first(list(llm_folders())),
                    tooltip="A folder with config.json, tokenizer and weights in models/text_encoders or models/LLM, "
                    "or a diffusers repository there or in models/diffusers, or one file with the tokenizer inside "
                    "(CLIPSave's too). lumina-next-demo comes with the pack, for its demo model.",
                ),
                io.Int.Input(
                    "layer",
                    default=-2,
                    min=-128,
                    max=-1,
                    **ADVANCED,
                    tooltip="Hidden layer whose states are the text features, counted from the end. Lumina-Next was "
                    "trained on -2; -1 is the last layer after the final norm, on which Lumina-T2I was.",
                ),
                io.Int.Input(
                    "max_tokens",
                    default=256,
                    min=2,
                    max=32768,
                    **ADVANCED,
                    tooltip="Longer prompts are cut to this many tokens, start token included; the log and CLIP Text "
                    "Encode say how many were cut. Lumina-Next was trained with 256.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(WEIGHT_DTYPES),
                    default="default",
                    **ADVANCED,
                    tooltip="Precision in which the weights are kept. default: as in the file. fp8 halves the memory "
                    "of bf16 weights; embedding and norms stay as they are. Computation is in fp32 either way.",
                ),
                io.Combo.Input(
                    "device",
                    options=["default", "cpu"],
                    default="default",
                    **ADVANCED,
                    tooltip="cpu keeps the text encoder off the GPU: slower to encode, no VRAM used.",
                ),
                io.Combo.Input(
                    "end_token",
                    options=["without", "with"],
                    default="without",
                    optional=True,
                    **ADVANCED,
                    tooltip="Whether a token ends every prompt. Lumina-T2I has it: LLaMA-2 with layer -1 and an end "
                    "token. Lumina-Next has none.",
                ),
            ],
            outputs=[io.Clip.Output(tooltip="For CLIP Text Encode.")],
        )

    @classmethod
    def fingerprint_inputs(cls, text_encoder: str, **_) -> str:
        return llm_fingerprint(text_encoder)

    @classmethod
    def execute(
        cls,
        text_encoder: str,
        layer: int,
        max_tokens: int,
        weight_dtype: str,
        device: str,
        end_token: str = "without",
    ) -> io.NodeOutput:
        eos = end_token == "with"
        return io.NodeOutput(load_clip(llm_folder(text_encoder), layer, max_tokens, weight_dtype, device, eos))
