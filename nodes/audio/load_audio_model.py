from comfy_api.latest import io

from ..adapter.audio import loading
from ..adapter.host.progress import tell
from ..adapter.host.schema import schema


class LoadAudioModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="LuminaNextLoadAudioModel",
            display_name="Load Lumina Audio Model",
            category="Lumina-Next/audio",
            description="Loads Lumina-T2Audio, Lumina-T2Music or Make-An-Audio 3 as it is downloaded, or the small "
            "models of sounds and music in this pack, with all that belongs to them.",
            search_aliases=(
                "lumina, t2audio, t2music, text to audio, text to music, text to sound, make-an-audio, sound effects, "
                "audio checkpoint, bigvgan, vocoder, 文生音频, 文生音乐, 音效, テキストから音声, 効果音, 音楽生成"
            ).split(", "),
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=loading.model_names(),
                    tooltip="The downloaded folder (with audio_generation or music_generation in it), or a .ckpt or "
                    ".safetensors file, in models/checkpoints or models/diffusion_models.",
                ),
                io.Combo.Input(
                    "vocoder",
                    options=loading.vocoder_names(),
                    default=loading.BESIDE,
                    tooltip="What makes sound of spectra: the folder with args.yml and best_netG.pt that lies beside "
                    "the model (bigvnat), another one, or griffin_lim, which needs no file and sounds rougher.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="For any sampler."),
                io.Clip.Output(
                    tooltip="For CLIP Text Encode: a sentence, a structured caption, or both. The small models take "
                    "the text encoder in this pack."
                ),
                io.Vae.Output(tooltip="For VAE Decode Audio and VAE Encode Audio."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model_name: str, vocoder: str = loading.BESIDE) -> str:
        return loading.fingerprint(model_name, vocoder)

    @classmethod
    def execute(cls, model_name: str, vocoder: str) -> io.NodeOutput:
        model, clip, vae, told = loading.load(model_name, vocoder)
        tell(told)
        return io.NodeOutput(model, clip, vae)
