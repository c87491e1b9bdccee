"""What is in pictures of any size and shape: labels, and features to compare them by."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..demo import CLASSIFIER
from ..nextdit import recognition
from ..nextdit.models.classifier import UNTIMED, ClassifierNextDiT
from ..options import OptionError, file_of, option
from .models import Models, memory_in_words
from .pictures import to_pixels, upright_size
from .sampling import Progress

Source = str | Path | Image.Image


@dataclass(frozen=True)
class ClassifyRequest:
    """Pictures to recognise, PIL images or files, and what to tell: the `top` likeliest labels, in a `language`.

    With `like`, a picture, those most like it come first, with `best` those that most likely show one of the labels
    that it names. `rope` scales positions past the training size, by default as the model was trained. Raises
    ValueError on values out of range.
    """

    pictures: Sequence[Source]
    top: int = 5
    language: str | None = None
    like: Source | None = None
    best: str | None = None
    rope: str | None = None

    def __post_init__(self):
        object.__setattr__(self, "pictures", tuple(self.pictures))
        if not self.pictures:
            raise OptionError(f"{option('pictures')} are none; give at least one")
        if not isinstance(self.top, int) or self.top < 1:
            raise OptionError(f"{option('top')} must be a whole number of labels, at least 1, got {self.top!r}")
        if self.like is not None and self.best is not None:
            raise OptionError(f"give {option('like')} or {option('best')}, and not both")
        if self.rope is not None and self.rope not in UNTIMED:
            raise OptionError(f"unknown {option('rope')} {self.rope!r}; known: {', '.join(UNTIMED)}")


@dataclass(frozen=True)
class Guess:
    """A label, its number in the model, and how likely it is, 0 to 1."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True)
class Recognised:
    """What a picture shows, the likeliest first; `score` is what it was sorted by, `place` where it stood before."""

    top: tuple[Guess, ...]
    size: tuple[int, int]
    place: int
    score: float | None = None

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def confidence(self) -> float:
        return self.top[0].confidence

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        top = [{"label": g.label, "index": g.index, "confidence": round(g.confidence, 4)} for g in self.top]
        score = {} if self.score is None else {"score": round(self.score, 4)}
        return {"label": self.label, "confidence": top[0]["confidence"], **score, "size": list(self.size), "top": top}


def classify(
    request: ClassifyRequest, models: Models | None = None, progress: Progress | None = None
) -> list[Recognised]:
    """Return what the request's pictures show, by default by the demo's model, in their order or the asked-for one.

    Raises ValueError if the model is none for pictures, lacks a label or a language, or a file holds no picture.
    """
    models = models or Models(CLASSIFIER)
    with file_of("like", str(request.like)):  # before the others are looked at
        reference = [] if request.like is None else [pixels_of(request.like)]
    network, pictures, found = looked_at(request, models, progress)
    names, likely = network.config.names(request.language), recognition.shares(network, found)
    scores: list[float] | list[None] = [None] * len(found)
    if reference:
        scores = recognition.similarity(found, recognition.features(network, reference, request.rope)).tolist()
    elif request.best is not None:
        scores = likely[:, recognition.label_indices(network.config, request.best)].sum(-1).tolist()
    top = likely.topk(min(request.top, len(names)), dim=-1)
    told = [
        Recognised(
            tuple(
                Guess(names[i], i, value)
                for i, value in zip(top.indices[n].tolist(), top.values[n].tolist(), strict=True)
            ),
            (picture.shape[2], picture.shape[1]),
            n,
            score,
        )
        for n, (picture, score) in enumerate(zip(pictures, scores, strict=True))
    ]
    return told if scores[0] is None else sorted(told, key=lambda each: -(each.score or 0.0))


def image_features(
    pictures: Sequence[Source], models: Models | None = None, progress: Progress | None = None
) -> Tensor:
    """Return features (N, dim) of pictures, of unit length: their products say how alike pictures are.

    Raises ValueError as `classify`.
    """
    return torch.nn.functional.normalize(looked_at(ClassifyRequest(pictures), models, progress)[2], dim=-1)


def looked_at(
    request: ClassifyRequest, models: Models | None, progress: Progress | None
) -> tuple[ClassifierNextDiT, list[Tensor], Tensor]:
    """Return the network, the pictures as it takes them, and their features (N, dim)."""
    models = models or Models(CLASSIFIER)
    models.check("classifier")
    models.config.names(request.language)  # before any work
    if request.best is not None:
        recognition.label_indices(models.config, request.best)
    pictures = [pixels_of(picture) for picture in request.pictures]
    network = models.network("classifier")
    count = len(pictures)
    if progress is not None:
        progress(0, count)
    with memory_in_words(models.device, f"{count} pictures", "pictures", count):
        return network, pictures, recognition.features(network, pictures, request.rope, progress)


def pixels_of(picture: Source) -> Tensor:
    """Return a picture as (3, H, W) in [-1, 1], upright, over white where it is transparent.

    Raises FileNotFoundError, or ValueError, naming the file if it holds no picture.
    """
    if isinstance(picture, Image.Image):
        return to_pixels(picture, *upright_size(picture))[0]
    try:
        with Image.open(picture) as image:
            return to_pixels(image, *upright_size(image))[0]
    except UnidentifiedImageError:
        raise ValueError(f"{picture} holds no picture that can be read") from None
    except (OSError, Image.DecompressionBombError) as error:
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{picture} does not exist") from None
        raise ValueError(f"{picture} cannot be read: {error}") from error
