"""What a classifier sees in many pictures of any sizes: shares of labels, features, and which label is meant."""

import difflib
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .models.classifier import ClassifierConfig, ClassifierNextDiT

BATCH_TOKENS = 4096
"""Patches of all pictures of a batch, pads too: more take memory, and save no time."""

OnPicture = Callable[[int, int], None]
"""Called with the number of pictures done and of all."""


def batches(lengths: Sequence[int], tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Yield the indices of pictures of so many patches, like with like, in batches of at most `tokens`, or of one."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and lengths[index] * (len(batch) + 1) > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


@torch.inference_mode()
def features(
    model: ClassifierNextDiT, pictures: Sequence[Tensor], method: str | None = None, on_picture: OnPicture | None = None
) -> Tensor:
    """Return features (N, dim), float32 on the CPU, of pictures (3, H, W) in [-1, 1] in their order.

    `method` is as in ClassifierNextDiT. Raises ValueError on shapes that do not fit.
    """
    lengths = [rows * columns for rows, columns in (model.grid(*picture.shape[-2:]) for picture in pictures)]
    out = torch.zeros(len(pictures), model.config.dim)
    done = 0
    for batch in batches(lengths):
        out[batch] = model.features([pictures[i] for i in batch], method=method).float().cpu()
        done += len(batch)
        if on_picture is not None:
            on_picture(done, len(pictures))
    return out


@torch.inference_mode()
def shares(model: ClassifierNextDiT, found: Tensor) -> Tensor:
    """Return how likely each label is (N, classes), float32, for pictures of these features (N, dim)."""
    weight = model.x_embedder.weight
    return model.head(found.to(weight)).float().softmax(-1).cpu()


def similarity(found: Tensor, reference: Tensor) -> Tensor:
    """Return how alike pictures of features (N, dim) are to the nearest of references (M, dim): (N,), at most 1."""
    return (F.normalize(found, dim=-1) @ F.normalize(reference, dim=-1).T).amax(dim=1)


def label_indices(config: ClassifierConfig, text: str) -> list[int]:
    """Return the labels that a text names, one or several with commas between, in any of the model's languages.

    A number counts as that label. Raises ValueError, with names that are spelt alike, for any that the model lacks.
    """
    known: dict[str, int] = {}
    for names in config.labels.values():
        for index, name in enumerate(names):
            known.setdefault(name.casefold(), index)
    whole = text.strip().casefold()
    wanted = [whole] if whole in known else [part for each in text.split(",") if (part := each.strip().casefold())]
    if not wanted:
        raise ValueError("no label is given: name one or several, with commas between")
    found = []
    for name in wanted:
        number = int(name) if name.isascii() and name.isdecimal() else -1
        if name not in known and not 0 <= number < config.classes:
            alike = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(alike)}?" if alike else f"it knows {config.classes} labels, such as "
            examples = "" if alike else ", ".join(config.names()[:5])
            raise ValueError(f"this model has no label {name!r}; {hint}{examples}")
        found.append(known.get(name, number))
    return list(dict.fromkeys(found))
