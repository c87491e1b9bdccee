"""Best of N in the pack's own text to image: a judge chooses, another tells whether that was right."""

from typing import Any

import torch
from torch import Tensor

from ...demo import MODEL, TEXT_ENCODER
from ...nextdit import load_model, recognition
from ...nextdit.text import load_text_encoder
from ..shared.metrics import rate
from ..shared.sections import Bench as Painter
from ..shared.truth import Truth
from .sections import Bench

Row = dict[str, Any]
COUNTS = (1, 2, 4, 8)
ENGLISH, HELD_OUT = "English names", "held-out names"
CASES = ((6, ENGLISH), (2, ENGLISH), (6, HELD_OUT))
"""Steps and prompts: as they should be, with too few steps, and with names that training never saw."""
Pairs = list[tuple[int, str]]
"""Concepts, each with the language of its name."""
EMOJI = "emoji"


def judged(bench: Bench, samples: Tensor) -> Tensor:
    """Return how likely each label is, (N, classes)."""
    return recognition.shares(bench.model, recognition.features(bench.model, list(samples)))


def known_concepts(bench: Bench, truth: Truth) -> list[int]:
    """Return the demo's concepts that the judge knows."""
    known = bench.model.config.labels[EMOJI]
    return [i for i, emoji in enumerate(truth.emoji) if emoji in known]


def pairs_of(bench: Bench, truth: Truth, names: str) -> Pairs:
    """Return `concepts` prompts of ENGLISH or HELD_OUT names, evenly spread."""
    known = known_concepts(bench, truth)
    every = [(i, "en") for i in known]
    if names == HELD_OUT:
        every = sorted((i, x) for i in known for emoji, x in truth.held_out if emoji == truth.emoji[i])
    count = min(len(every), bench.options.concepts)
    return [every[i * len(every) // count] for i in range(count)]


def painted(bench: Bench, truth: Truth, pairs: Pairs, steps: int, names: str) -> Tensor:
    """Return samples (pairs, N, 3, 64, 64), kept in --cache: another judge then looks at the same."""
    file = bench.options.cache / "recognition" / f"painted-{len(pairs)}-{steps}-{names.split()[0]}.pt"
    if not file.is_file():
        model, encoder = load_model(MODEL, dtype=torch.bfloat16), load_text_encoder(TEXT_ENCODER, dtype=torch.float32)
        painter = Painter(model, encoder, truth, steps=steps)
        prompts = [truth.name(*pair) for pair in pairs]
        drawn = [painter.draw(prompts, seed=seed) for seed in range(max(COUNTS))]
        torch.save(torch.stack(drawn, dim=1), file)
    return torch.load(file, weights_only=True)


@torch.inference_mode()
def best_of_n(bench: Bench) -> list[Row]:
    """Return how often the chosen picture is right, by the nearest true picture and by the judge itself.

    The nearest true picture has no part in the choice, and the judge never saw the style of the pictures.
    """
    truth, rows = Truth(), []
    known = bench.model.config.labels[EMOJI]
    for steps, names in CASES:
        pairs = pairs_of(bench, truth, names)
        concepts = [concept for concept, _ in pairs]
        samples = painted(bench, truth, pairs, steps, names)
        labels = torch.tensor([known.index(truth.emoji[i]) for i in concepts])
        shares = judged(bench, samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
        right = truth.nearest(samples.flatten(0, 1)).unflatten(0, samples.shape[:2]) == torch.tensor(concepts)[:, None]
        likely = shares.gather(2, labels[:, None, None].expand(-1, samples.shape[1], 1))[..., 0]
        agree = shares.argmax(-1) == labels[:, None]
        every = torch.arange(len(concepts))
        for count in COUNTS:
            groups = range(0, samples.shape[1], count)
            chosen = [(every, start + likely[:, start : start + count].argmax(1)) for start in groups]
            rows.append(
                {
                    "prompts": f"{names}, {steps} steps",
                    "best of": count,
                    "right, nearest picture": rate(torch.cat([right[pick] for pick in chosen])),
                    "right, judge": rate(torch.cat([agree[pick] for pick in chosen])),
                }
            )
        print(rows[-4:], flush=True)
    return rows


def judges(bench: Bench) -> list[Row]:
    """Return what both judges say of the true pictures, by size: how far either can be trusted."""
    truth = Truth()
    known = bench.model.config.labels[EMOJI]
    concepts = known_concepts(bench, truth)
    labels = torch.tensor([known.index(truth.emoji[i]) for i in concepts])
    rows = []
    for size in (64, 128):
        pictures = truth.pictures(size)[concepts]
        shares = judged(bench, pictures)
        top = shares.topk(5, dim=-1).indices
        rows.append(
            {
                "true pictures": f"{size} × {size}",
                "concepts": len(concepts),
                "judge right": rate(top[:, 0] == labels),
                "among its five likeliest": rate((top == labels[:, None]).any(-1)),
            }
        )
    return rows
