"""Stage 2 of sounds and music, `python -m lumina_next.training.tasks.audio`: mel spectra from captions.

Trains on what `training.data.sounds.prepare` or `training.data.music.prepare` made. Goes on when called again with the
same `--run`.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ...nextdit import Call, load_model
from ...nextdit.audio_config import AudioConfig
from ...nextdit.layers.attend import default_attend
from ...nextdit.models.audio import AudioDiT
from ...nextdit.text import TextEncoder, load_text_encoder
from ...pipelines.frames import sample_frames
from ...pipelines.sampling import Sampling
from ..data.music import prepare as music
from ..data.music.batches import TRAIN_FRAMES as TUNE_FRAMES
from ..data.music.batches import MusicBatches
from ..data.sounds import prepare as sounds
from ..data.sounds.batches import TRAIN_FRAMES, SoundBatch, SoundBatches, whole
from ..data.sounds.prepare import MEL
from ..data.sounds.spectrogram import to_picture
from ..loop.ahead import Ahead
from ..loop.attention import folded_attention
from ..loop.flow import flow_loss, initialise
from ..loop.text import CachedTexts
from ..loop.trainer import Trainer, parser, run_stage, start

MIDDLE, SPREAD = -2.5, 1.5  # of log10 magnitudes, as the network sees them


@dataclass(frozen=True)
class Source:
    """Data to train on: how to load and to draw them, what the network has of its own, and what samples show."""

    title: str
    load: Callable[[Path], Any]
    batches: Callable[..., Any]
    network: dict[str, int]
    shown: tuple[str, ...]


SOURCES = {
    "sounds": Source(
        "Lumina-Next sounds demo",
        sounds.load,
        SoundBatches,
        {"train_frames": TRAIN_FRAMES, "patch_size": 2, "ffn_dim": 512},
        ("a dog bark", "church bells", "rain", "a violin", "a bass drum", "a dog bark, then church bells", "笛子", ""),
    ),
    "music": Source(
        "Lumina-Next music demo",
        music.load,
        MusicBatches,
        {"train_frames": TUNE_FRAMES, "patch_size": 1, "ffn_dim": 640},
        (
            *("piano music in C major, 120 bpm", "a sad flute tune in D minor, 70 bpm", "banjo, G major, 160 bpm"),
            *("a church organ tune in F major, 60 bpm", "Trompete, Es-Dur, 100 bpm", ""),
        ),
    ),
}


def demo_config(text_dim: int, source: Source = SOURCES["sounds"]) -> AudioConfig:
    """Return the architecture of a source's demo."""
    return AudioConfig(
        dim=192,
        n_layers=6,
        n_heads=3,
        n_kv_heads=1,
        text_dim=text_dim,
        in_channels=MEL.bins,
        time_dim=192,
        frame_rate=MEL.frame_rate,
        scale_factor=1 / SPREAD,
        latent_shift=MIDDLE,
        **source.network,
    )


class AudioTask:
    """Spectra from captions."""

    def __init__(self, encoder: TextEncoder, options: argparse.Namespace):
        self.encoder, self.options = encoder, options
        self.texts = CachedTexts(encoder, torch.device(options.device), together=options.even)

    def loss(self, model: AudioDiT, batch: SoundBatch, generator: torch.Generator) -> Tensor:
        device = torch.device(self.options.device)
        text, mask = self.texts(batch.prompts)
        call = Call(attend=folded_attention if device.type == "cpu" else default_attend)
        seen = (batch.spectra.to(device) - model.config.latent_shift) * model.config.scale_factor

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            return model.velocity(x, t, text, mask, call)

        return flow_loss(velocity, seen, generator, self.options.centre)

    def about(self, model: AudioDiT) -> dict[str, str]:
        return {}

    def show(self, model: AudioDiT, file: Path, spent: float) -> None:
        """Draw a spectrogram of each prompt of the source."""
        shown, frames = SOURCES[self.options.source].shown, model.config.train_frames
        spectra = sample_frames(model, self.encoder, shown, range(len(shown)), frames, Sampling(20, "uniform", cfg=3.0))
        Image.fromarray(to_picture(spectra)).save(file)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    stage = parser(__doc__, "")
    add = stage.add_argument
    add("--source", choices=tuple(SOURCES), default="sounds", help="what to train on")
    add("--model", type=Path, help="checkpoint to start from (default: an untrained one of the demo's size)")
    add("--frames", type=int, default=3072, help="frames a batch")
    add(
        "--even",
        action="store_true",
        help="give all clips one length and encode captions together, for a GPU",
    )
    add(
        "--shares",
        type=float,
        nargs=3,
        metavar=("ONE", "TWO", "THREE"),
        help="shares of clips with one, two and three sounds in a row, in place of a curriculum that begins with one",
    )
    add("--workers", type=int, default=0, help="processes that plan batches ahead (0: none), for a fast device")
    add("--centre", type=float, default=-0.4, help="of training times on the logit scale")
    options = stage.parse_args(arguments)
    if options.shares and options.source != "sounds":
        stage.error("--shares is for --source sounds: a tune is not one of several in a row")
    options.title = options.title or SOURCES[options.source].title
    return options


def make_trainer(options: argparse.Namespace) -> Trainer:
    """Build model, data and optimizers from the options, and resume where --run has a state."""
    torch.manual_seed(options.seed)
    source = SOURCES[options.source]
    encoder = load_text_encoder(options.text_encoder, device=options.device, dtype=torch.float32)
    if options.model:
        model = load_model(options.model, dtype=torch.float32, family="audio")
    else:
        model = initialise(AudioDiT(demo_config(encoder.width, source)))
    data = source.load(options.cache)
    chosen: dict[str, Any] = {"device": options.device, "even": options.even}
    if options.shares:
        chosen["buckets"] = whole(options.shares)
    batches = source.batches(data, options.frames, options.seed, **chosen)
    ready = Ahead(batches, options.workers) if options.workers else batches
    return start(model, AudioTask(encoder, options), ready, options)


def main() -> None:
    run_stage(parse, make_trainer)


if __name__ == "__main__":
    main()
