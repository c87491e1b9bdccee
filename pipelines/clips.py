"""Clips as files, MP4, WebP or GIF, with what made them; and files as frames."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from ..nextdit.text_files import absent
from ..nextdit.whole_file import whole_file
from ..options import OptionError, file_of, option
from .pictures import UNREADABLE, Picture

SUFFIXES = (".mp4", ".webp", ".gif")
COMMENT = "comment"
LEAST_FPS, MOST_FPS = 0.01, {".mp4": 1000, ".webp": 1000, ".gif": 50}
"""Frames a second. Browsers show a GIF whose frames last less than two hundredths of a second at 10."""


@dataclass(frozen=True)
class Clip:
    """Frames in order, how many of them a second, and what made them."""

    frames: Sequence[Picture]
    fps: float
    parameters: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write an .mp4 (H.264, which takes PyAV), a .webp without loss or a .gif; the file appears only when whole.

        Raises ValueError on another ending or an fps that it has not, ImportError without PyAV for .mp4, OSError where
        it cannot be written.
        """
        path = Path(path)
        write = {".mp4": self._mp4, ".webp": self._animation, ".gif": self._animation}.get(path.suffix.lower())
        if write is None:
            raise ValueError(f"a clip's name must end in {', '.join(SUFFIXES)}, got {path}")
        check_fps(path, self.fps)
        with whole_file(path) as unfinished:
            write(unfinished)

    def _animation(self, file: Path) -> None:
        first, *others = (Image.fromarray(np.asarray(frame)) for frame in self.frames)
        told = json.dumps(dict(self.parameters))
        more: dict[str, Any] = {"comment": told.encode()}
        if file.suffix == ".webp":
            exif = Image.Exif()
            exif[0x010E] = told  # ImageDescription
            more = {"lossless": True, "exif": exif}
        # a GIF keeps hundredths of a second, a WebP thousandths
        first.save(file, save_all=True, append_images=others, duration=1000 / self.fps, loop=0, **more)

    def _mp4(self, file: Path) -> None:
        av = pyav()
        width, height = self.frames[0].size
        with av.open(str(file), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
            container.metadata[COMMENT] = json.dumps(dict(self.parameters))
            stream = container.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1000))
            stream.width, stream.height = width + width % 2, height + height % 2  # its colours come in twos
            stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
            for frame in self.frames:
                pixels = np.pad(np.asarray(frame), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())


def pyav(files: str = "MP4", instead: str = ".webp or .gif") -> ModuleType:
    """Return PyAV, which comes with ComfyUI. Raises ImportError without it, saying for which files it is."""
    try:
        import av
    except ImportError as error:
        raise ImportError(f"PyAV reads and writes {files} files: pip install av, or use {instead}") from error
    return av


def check_fps(path: Path, fps: float) -> None:
    """Raise ValueError if a clip's file cannot hold so many frames a second, or shows another number of them."""
    most = MOST_FPS[path.suffix.lower()]
    if not LEAST_FPS <= fps <= most:
        raise OptionError(
            f"{option('fps')} of a {path.suffix.lower()} must be from {LEAST_FPS:g} to {most}, got {fps:g}"
        )


def check_is_file(file: Path) -> None:
    """Raise FileNotFoundError or IsADirectoryError unless a path is a file's."""
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; give a file")
    if not file.exists():
        raise FileNotFoundError(absent(file))


def read_clip(file: str | Path) -> tuple[list[Image.Image], float]:
    """Return the frames of an animated WebP or GIF, or of a video that PyAV reads, and how many of them a second.

    Raises ValueError if it is neither or has no frames, ImportError without PyAV for videos, FileNotFoundError.
    """
    file = Path(file)
    with file_of("clip", file):
        check_is_file(file)
    if file.suffix.lower() in (".webp", ".gif", ".png"):
        try:
            with Image.open(file) as image:
                frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
                each = image.info.get("duration") or 0
        except UNREADABLE as error:
            raise OptionError(f"{option('clip')} {file} has no frames that can be read ({error})") from error
        return frames, 1000 / each if each else 0.0
    av = pyav()
    try:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            return [frame.to_image() for frame in container.decode(stream)], float(stream.average_rate or 0)
    except (av.error.FFmpegError, IndexError) as error:
        raise OptionError(f"{option('clip')} {file} has no frames that can be read ({error})") from error
