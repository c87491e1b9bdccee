"""Released audio models as their users have them: a file or a folder with the network, and what belongs to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..options import file_of
from .audio_config import AudioConfig
from .checkpoint import build, check_family
from .encoders.audio.autoencoder import build_autoencoder
from .encoders.audio.bigvgan import bigvgan_files, load_bigvgan
from .encoders.audio.coder import SoundCoder
from .encoders.audio.mel import Mel
from .encoders.audio.text import AudioTextEncoder, bert_tokens, build_text_model, inner, t5_tokens
from .encoders.audio.tokenizers import BERT, T5, find_tokenizer
from .families import recognised
from .files import network_file, read_metadata, read_weights

AUTOENCODER, TEXT = "first_stage_model.", "cond_stage_model."
AUTOENCODER_FILES = ("maa2/maa2.ckpt", "maa2.ckpt")
"""Where downloads keep the autoencoder by itself, for checkpoints without it."""
GRIFFIN_LIM = "griffin_lim"


@dataclass(frozen=True)
class AudioModel:
    """An audio model with its parts: network, frames to sound, and its text encoder if the checkpoint has one."""

    network: Any
    coder: SoundCoder
    text: AudioTextEncoder | None

    @property
    def config(self) -> AudioConfig:
        return self.network.config


def home_of(path: str | Path) -> list[Path]:
    """Return the folders in which what belongs to a checkpoint is looked for, the nearest first."""
    path, file = Path(path), network_file(path)
    near = [path if path.is_dir() else path.parent, file.parent, file.parent.parent]
    return list(dict.fromkeys(near[:2] if path.is_dir() and file.parent == path else near))


def find_vocoder(path: str | Path) -> Path | None:
    """Return the vocoder's folder beside a checkpoint, such as bigvnat, None if there is none."""
    for home in home_of(path):
        for folder in (home, *_folders(home)):
            if bigvgan_files(folder):
                return folder
    return None


def _folders(home: Path) -> list[Path]:
    try:
        return sorted(folder for folder in home.iterdir() if folder.is_dir())
    except OSError:
        return []


def build_coder(
    weights: Mapping[str, Tensor], path: str | Path, config: AudioConfig, vocoder: str | Path | None = None
) -> SoundCoder:
    """Return what turns a model's frames to sound, from the weights of its checkpoint at `path`.

    `vocoder` is a folder, GRIFFIN_LIM for none, or None for the one beside the checkpoint, if any. Raises ValueError if
    a network of latents comes without its autoencoder, and if parts do not fit together; FileNotFoundError for a
    vocoder's folder that is none.
    """
    found = inner(weights, AUTOENCODER)
    if not found and config.in_channels != Mel.bins:
        files = [home / name for home in home_of(path) for name in AUTOENCODER_FILES]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise ValueError(
                f"it has no autoencoder ({AUTOENCODER}…), and none lies beside it: put maa2/maa2.ckpt of the same "
                f"download into {home_of(path)[0]}"
            )
        alone = read_weights(file)
        found = inner(alone, AUTOENCODER) or dict(alone)
    found = {key: x for key, x in found.items() if not key.startswith("loss.")}
    autoencoder = build_autoencoder({key: x.float() for key, x in found.items()}) if found else None
    folder = find_vocoder(path) if vocoder is None else None if vocoder == GRIFFIN_LIM else Path(vocoder)
    bigvgan = None
    if folder is not None:
        with file_of("vocoder", folder):
            bigvgan = load_bigvgan(folder)
    coder = SoundCoder(Mel(), autoencoder, bigvgan)
    if (coder.channels, coder.frame_rate) != (config.in_channels, config.frame_rate):
        raise ValueError(
            f"its network works on {config.in_channels} channels at {config.frame_rate:g} frames a second, its "
            f"autoencoder on {coder.channels} at {coder.frame_rate:g}: they are of different models"
        )
    return coder


def build_text(weights: Mapping[str, Tensor], path: str | Path, more: Iterable[Path] = ()) -> AudioTextEncoder | None:
    """Return the text encoder in the weights of a checkpoint at `path`, None if it has none.

    Tokenizers are looked for beside it, in folders `more` and in what Hugging Face has downloaded before. Raises
    FileNotFoundError, saying where to put them, if there are none, and ValueError as `build_text_model`.
    """
    found = inner(weights, TEXT)
    if not found:
        return None
    model = build_text_model({key: x.float() for key, x in found.items()})
    homes = [*home_of(path), *more]
    clap = bert_tokens(find_tokenizer(BERT, homes)) if model.has_clap else None
    return AudioTextEncoder(model, t5_tokens(find_tokenizer(T5, homes)), clap)


def load_audio(path: str | Path, vocoder: str | Path | None = None) -> AudioModel:
    """Load an audio model with its parts, in float32 on the CPU; arguments and errors as the functions above."""
    file = network_file(path)
    weights, metadata = read_weights(file), read_metadata(file)
    try:
        found = recognised(weights)
        check_family(found.family, "audio")
        named = {key: x.float() for key, x in found.rename(weights).items()}
        network: Any = build(found.family, named, found.metadata(weights, metadata)).eval()
        coder = build_coder(weights, path, network.config, vocoder)
        return AudioModel(network, coder, build_text(weights, path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{file}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
