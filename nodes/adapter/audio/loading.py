"""From a downloaded audio model to MODEL, CLIP and VAE."""

from pathlib import Path

from ....nextdit.audio_files import AUTOENCODER, GRIFFIN_LIM, TEXT, build_coder, build_text, find_vocoder
from ....nextdit.encoders.audio.bigvgan import bigvgan_files
from ....nextdit.families import recognise
from ....nextdit.files import AUDIO, fingerprint_of, network_file, read_header
from ....nextdit.files import fingerprint as fingerprint_of_weights
from ....nextdit.text_files import read_json
from ..host.listing import file_names, find_file, folders, not_found, roots
from ..host.reading import read
from ..models import loading
from ..models.audio import config_of
from ..models.demo import DEMO, MUSIC, SOUNDS, TEXT_ENCODER
from ..text.clip import load_clip
from .clip import NoClip, clip_of
from .vae import AudioVAE

KINDS = ("checkpoints", "diffusion_models", "diffusers")
FILES = ("checkpoints", "diffusion_models")
BESIDE = "beside the model"
ENDINGS = (".ckpt", ".safetensors", ".pt", ".pth", ".bin")


def model_names() -> list[str]:
    """List what may be an audio model: folders as they are downloaded, the demo's, and files of checkpoints."""
    files = sorted((name for kind in FILES for name in _files(kind)), key=lambda name: name not in (SOUNDS, MUSIC))
    return list(dict.fromkeys([*_models(), *files]))


def find(name: str) -> Path:
    """Return the path of a listed model. Raises FileNotFoundError if it is not, or no longer, one."""
    if name in (found := _models()):
        return found[name]
    for kind in FILES:
        if name in file_names(kind):
            return find_file(kind, name)
    raise FileNotFoundError(not_found(name, list(KINDS), " or ".join(FILES)))


def vocoder_names() -> list[str]:
    """List the choices of vocoder: the one beside the model, none, and folders under ComfyUI's model folders."""
    return [BESIDE, GRIFFIN_LIM, *_vocoders()]


def load(name: str, vocoder: str = BESIDE):
    """Load a listed audio model: MODEL, CLIP, VAE, and what to tell.

    A model without a text encoder of its own has the demo's if that fits, else a CLIP that only says so. Raises
    FileNotFoundError or ValueError, naming the file.
    """
    path = find(name)
    file = network_file(path)
    found = recognise(read_header(file))
    if found is None or found.family.name != "audio":
        raise ValueError(
            f"{file} is no audio model of Lumina's"
            f"{'' if found is None else f' but {found.family.title}: use Load Lumina-Next Model'}; expected "
            "Lumina-T2Audio, Lumina-T2Music, Make-An-Audio 3 or the demo's for sounds and music"
        )
    weights, metadata = read(file)
    parts = {key: x for key, x in weights.items() if key.startswith((AUTOENCODER, TEXT))}
    rest = {key: x for key, x in weights.items() if key not in parts}
    model = loading.from_weights(rest, metadata, file)
    model.cached_patcher_init = (loading.load, (str(file),))
    try:
        config = config_of(model, "this loader")
        coder = build_coder(parts, path, config, _vocoder(vocoder))
        text = build_text(parts, path, _tokenizers())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    clip = other_clip(config.text_dim, file) if text is None else clip_of(text)
    told = describe(model, coder, path, vocoder)
    return model, clip, AudioVAE(coder), f"{told}; no text encoder" if isinstance(clip, NoClip) else told


def other_clip(text_dim: int, file: Path):
    """Return a CLIP for a model without one that takes features of a width: the demo's if it fits, else a NoClip."""
    demo = DEMO / "text_encoders" / TEXT_ENCODER
    if read_json(demo / "config.json").get("hidden_size") == text_dim:
        return load_clip(demo)
    return NoClip(
        f"{file} has no text encoder in it, and takes text features {text_dim} wide: connect the CLIP of Load LLM Text "
        "Encoder (Gemma) with the encoder that the model was trained with"
    )


def describe(model, coder, path: Path, vocoder: str) -> str:
    """Say in a line what a model makes, and how spectra become sound."""
    config = config_of(model, "this loader")
    folder = find_vocoder(path) if vocoder == BESIDE else None
    if coder.vocoder is None:
        released = coder.autoencoder is not None  # which comes with one
        why = ": no vocoder (args.yml, best_netG.pt) lies beside the model" if released and vocoder == BESIDE else ""
        by = f"Griffin-Lim{', which sounds rough' if released else ''}{why}"
    else:
        by = vocoder if folder is None else folder.name
    return (
        f"{config.title}, {config.train_seconds:.0f} s in training, {coder.mel.sample_rate / 1000:g} kHz mono; by {by}"
    )


def fingerprint(name: str, vocoder: str = BESIDE) -> str:
    """Return a text that changes when a file of a checkpoint or of its vocoder is replaced. Raises as `load`."""
    path, chosen = find(name), _vocoder(vocoder)
    folder = find_vocoder(path) if chosen is None else chosen
    own = bigvgan_files(folder) if isinstance(folder, Path) else None
    return ";".join([fingerprint_of_weights(path), fingerprint_of(own or ())])


def _vocoder(name: str) -> str | Path | None:
    if name in (BESIDE, GRIFFIN_LIM):
        return None if name == BESIDE else name
    found = _vocoders()
    if name not in found:
        raise FileNotFoundError(not_found(name, list(KINDS), " or ".join(KINDS)))
    return found[name]


def _tokenizers() -> list[Path]:
    """Return where tokenizers may lie besides: those of text encoders, and T5's, which comes with ComfyUI."""
    import comfy.text_encoders

    core = Path(next(iter(comfy.text_encoders.__path__), ""))
    return [*roots("text_encoders", "LLM"), core / "t5_tokenizer"]


def _files(kind: str) -> list[str]:
    return [name for name in file_names(kind) if Path(name).suffix.lower() in ENDINGS]


def _models() -> dict[str, Path]:
    return folders(roots(*KINDS), _is_model)


def _is_model(folder: Path) -> bool | None:
    if any((folder / name).exists() for name in AUDIO):
        return True
    return False if (folder / "model_index.json").exists() else None


def _vocoders() -> dict[str, Path]:
    def is_vocoder(folder: Path) -> bool | None:
        return True if bigvgan_files(folder) else None

    found: dict[str, Path] = {}
    for root in roots(*KINDS):
        found |= {name: folder for name, folder in folders([root], is_vocoder).items() if name not in found}
    return found
