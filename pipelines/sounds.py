"""Sounds as files, with what made them; and files as sounds."""

import io
import json
import struct
import warnings
import wave
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile
from scipy.signal import resample_poly
from torch import Tensor

from ..nextdit.encoders.audio.mel import Mel
from ..nextdit.encoders.audio.spectrogram import coloured, level_of_spectra
from ..nextdit.whole_file import whole_file
from ..options import OptionError, file_of, option
from .clips import COMMENT, check_is_file, pyav
from .pictures import Picture

CODECS = {".flac": "flac", ".mp3": "libmp3lame", ".opus": "libopus", ".ogg": "libopus", ".m4a": "aac"}
SUFFIXES = (".wav", *CODECS)
RATES = {
    "libopus": (8000, 12000, 16000, 24000, 48000),
    "libmp3lame": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "aac": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
}
"""Samples a second that a codec takes; the others take any."""
LEAST_RATE, MOST_RATE = 1000, 384_000
BITS = {"libmp3lame": 128_000, "libopus": 64_000, "aac": 128_000}


@dataclass(frozen=True)
class Sound:
    """Mono sound (samples,) in [-1, 1], how many samples a second, and what made it.

    Raises ValueError for more than one row of samples, and for a rate that is no whole number.
    """

    samples: Tensor
    rate: int
    parameters: Mapping[str, Any]

    def __post_init__(self):
        if self.samples.ndim != 1:
            raise OptionError(
                f"{option('sound')} must be one row of samples, got {tuple(self.samples.shape)}: mix its channels"
            )
        if not isinstance(self.rate, int):
            raise OptionError(f"{option('sound')} must have a whole number of samples a second, got {self.rate!r}")

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def at(self, rate: int) -> "Sound":
        """Return the sound at another rate."""
        return replace(self, samples=resampled(self.samples, self.rate, rate), rate=rate)

    def save(self, path: str | Path) -> None:
        """Write a file of one of SUFFIXES, 16 bits where nothing is lost; it appears under its name only when whole.

        Raises ValueError on another ending or a rate that its codec has not, ImportError without PyAV for all but .wav,
        OSError where it cannot be written.
        """
        path = Path(path)
        check_format(path, self.rate)
        with whole_file(path) as unfinished:
            self._wav(unfinished) if unfinished.suffix == ".wav" else self._coded(unfinished)

    def picture(self) -> Image.Image:
        """Return a spectrogram from 0 to 8 kHz, which knows what made the sound."""
        mel = Mel()
        level = level_of_spectra(mel(resampled(self.samples, self.rate, mel.sample_rate)[None]))
        return Picture.of(2 * coloured(level)[0] - 1, self.parameters)

    def _whole_numbers(self) -> np.ndarray:
        return (self.samples.clamp(-1.0, 1.0).numpy() * 32767).round().astype("<i2")

    def _wav(self, file: Path) -> None:
        content = io.BytesIO()
        with wave.open(content, "wb") as written:
            written.setnchannels(1)
            written.setsampwidth(2)
            written.setframerate(self.rate)
            written.writeframes(self._whole_numbers().tobytes())
        told = json.dumps(dict(self.parameters)).encode() + b"\0"
        told += b"\0" * (len(told) % 2)
        info = b"INFOICMT" + struct.pack("<I", len(told)) + told  # a RIFF comment
        whole = content.getvalue() + b"LIST" + struct.pack("<I", len(info)) + info
        file.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])

    def _coded(self, file: Path) -> None:
        av, codec = codecs(file.suffix), CODECS[file.suffix]
        with av.open(str(file), "w", format={".m4a": "mp4", ".opus": "ogg"}.get(file.suffix)) as container:
            container.metadata[COMMENT] = json.dumps(dict(self.parameters))
            stream = container.add_stream(codec, rate=self.rate, layout="mono")
            if codec in BITS:
                stream.bit_rate = BITS[codec]
            frame = av.AudioFrame.from_ndarray(self._whole_numbers()[None], format="s16", layout="mono")
            frame.sample_rate = self.rate
            resampler = av.AudioResampler(
                format=stream.format, layout="mono", rate=self.rate, frame_size=stream.frame_size
            )
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode())


def codecs(suffix: str) -> ModuleType:
    """Return PyAV. Raises ImportError without it."""
    return pyav(suffix, ".wav")


def check_format(path: Path, rate: int) -> None:
    """Raise ValueError if a sound of a rate cannot be written under a name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a sound's name must end in {', '.join(SUFFIXES)}, got {path}")
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise OptionError(f"{option('rate')} must be between {LEAST_RATE} and {MOST_RATE} Hz, got {rate}")
    codec = CODECS.get(path.suffix.lower(), "")
    known = RATES.get(codec, ())
    if known and rate not in known:
        words = ", ".join(str(each) for each in known)
        raise OptionError(
            f"{path.suffix} takes {option('rate')} {words}, got {rate}: choose one, or write .wav or .flac"
        )


def resampled(sound: Tensor, rate: int, wanted: int) -> Tensor:
    """Return sound (…, samples) at another rate, by a polyphase filter."""
    if rate == wanted:
        return sound
    common = gcd(rate, wanted)
    return torch.from_numpy(resample_poly(sound.double().numpy(), wanted // common, rate // common, axis=-1)).float()


def read_sound(file: str | Path) -> Sound:
    """Return a file's sound, its channels mixed to one: .wav, and what PyAV reads, videos too.

    Raises ValueError if there is none in it, ImportError without PyAV for all but .wav, FileNotFoundError.
    """
    file = Path(file)
    with file_of("sound", file):
        check_is_file(file)
    samples, rate = (_read_wav if file.suffix.lower() == ".wav" else _read_coded)(file)
    return heard(Sound(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), rate, {"file": file.name}), file)


def heard(sound: Sound, name: str | Path = "") -> Sound:
    """Return a sound. Raises ValueError, with a name, if there is nothing in it or what is no number."""
    named = f"{option('sound')} {name}".strip()
    if sound.rate < 1:
        raise OptionError(f"{named} has {sound.rate} samples a second, expected at least 1")
    if not len(sound.samples):
        raise OptionError(f"{named} is empty: it has no samples")
    if not sound.samples.isfinite().all():
        raise OptionError(f"{named} has samples that are NaN or infinite: write it again")
    return sound


def _read_wav(file: Path) -> tuple[np.ndarray, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # of chunks that are for other programs
            rate, read = wavfile.read(file)
    except (ValueError, EOFError, struct.error, NameError) as error:  # the last without data, a fault of scipy's
        try:
            return _read_coded(file)  # a kind of WAV that PyAV may know, such as ADPCM
        except ImportError:
            raise OptionError(f"{option('sound')} {file} has no sound that can be read ({error})") from error
    if read.dtype.kind == "u":
        read = read.astype(np.float32) / 128 - 1
    elif read.dtype.kind == "i":
        read = read / -float(np.iinfo(read.dtype).min)
    return read if read.ndim == 1 else read.mean(1), int(rate)


def _read_coded(file: Path) -> tuple[np.ndarray, int]:
    av = codecs(file.suffix)
    try:
        with av.open(str(file)) as container:
            stream = container.streams.audio[0]
            if not (rate := int(stream.rate)):
                raise IndexError("no samples a second")  # noise that FFmpeg took for sound by the file's ending
            resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            frames = [part for frame in container.decode(stream) for part in resampler.resample(frame)]
            parts = [part.to_ndarray().mean(0) for part in frames]
    except (av.error.FFmpegError, IndexError) as error:
        raise OptionError(f"{option('sound')} {file} has no sound that can be read ({error})") from error
    return np.concatenate(parts) if parts else np.zeros(0), rate
