"""What is measured of models of music, a table each."""

import time
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...training.data.music.captions import Piece, languages
from ...training.data.music.instruments import INSTRUMENTS
from ...training.data.music.prepare import FONTS as TRAINING_FONTS
from ...training.data.music.words import ENGLISH, UNSEEN
from ...training.data.sounds.prepare import MEL
from ...training.data.sounds.rendering import SAMPLE_RATE
from ...training.data.sounds.words import LANGUAGES
from ..shared.metrics import rate
from ..sounds.generator import Generator, named
from ..sounds.judge import FONTS, Judge, vocoded
from .judge import Player, instrument_judge, pieces
from .listening import keys, same_tempo, tempos

Row = dict[str, Any]
Hits = dict[str, Tensor]
OTHER = "{name}, {key}, {bpm} bpm"
"""The captions of languages other than English."""


class Bench(Generator):
    """A model, the judges, and true tunes to compare with."""

    @cached_property
    def judge(self) -> Judge:
        player = Player(FONTS, "judge", self.options.fonts)
        return instrument_judge(player, self.options.judge_clips * len(INSTRUMENTS), self.seconds)

    @cached_property
    def pieces(self) -> list[Piece]:
        """What is asked for in English."""
        return pieces(self.options.samples * len(INSTRUMENTS), "asked for")

    @cached_property
    def true(self) -> np.ndarray:
        """True tunes of the pieces, (B, samples), of the generator's fonts."""
        return Player(TRAINING_FONTS, "held out", self.options.fonts).every(self.pieces, self.seconds)

    @cached_property
    def ceiling(self) -> Hits:
        """What the judges hear in true tunes through the vocoder."""
        return self.hits(vocoded(self.true), self.pieces)

    @cached_property
    def made(self) -> np.ndarray:
        """The model's tunes of the pieces."""
        return self.sample([piece.write(ENGLISH[n % len(ENGLISH)]) for n, piece in enumerate(self.pieces)])

    @cached_property
    def english(self) -> Hits:
        """What they hear in the model's."""
        return self.hits(self.made, self.pieces)

    def hits(self, sound: np.ndarray, wanted: Sequence[Piece]) -> Hits:
        """Return in which clips (B,) each judge hears what was wanted."""
        tempo = same_tempo(tempos(sound), np.array([piece.bpm for piece in wanted]))
        pairs = zip(keys(sound), wanted, strict=True)
        return {
            "tempo, %": torch.from_numpy(tempo),
            "key, %": torch.tensor([key == piece.key for key, piece in pairs]),
            "instrument, %": self.judge(sound) == torch.tensor([piece.instrument for piece in wanted]),
        }

    def heard(self, sound: np.ndarray, wanted: Sequence[Piece]) -> Row:
        """Return in which share of clips they do."""
        return rates(self.hits(sound, wanted))

    def asked(self, wanted: Sequence[Piece], prompts: Sequence[str], seed: int, **options: Any) -> Row:
        """Return the same of tunes that the model makes of prompts."""
        return self.heard(self.sample(prompts, seed=seed, **options), wanted)


def rates(hits: Hits) -> Row:
    return {name: rate(right) for name, right in hits.items()}


def music(bench: Bench) -> list[Row]:
    """Tempo, key and instrument: in true tunes, and in those of prompts of several kinds."""
    half = max(1, bench.options.samples // 2) * len(INSTRUMENTS)
    other, held = pieces(half, "other words"), pieces(half, "held out", held_out=True)
    foreign = [(piece, languages(piece.instrument)) for piece in pieces(half, "other languages")]
    known = [(piece, LANGUAGES[1 + n % (len(LANGUAGES) - 1)]) for n, (piece, _) in enumerate(foreign)]
    ceiling = rates(bench.ceiling)
    results = {
        "true tunes": bench.heard(bench.true, bench.pieces),
        "true tunes, vocoder (ceiling)": ceiling,
        "English": rates(bench.english),
        "English, words never trained": bench.asked(
            other, [piece.write(UNSEEN[n % len(UNSEEN)]) for n, piece in enumerate(other)], 1
        ),
        "instrument never in this key": bench.asked(held, [piece.write(ENGLISH[0]) for piece in held], 2),
        "nine other languages": bench.asked(
            [piece for piece, _ in known], [piece.write(OTHER, language) for piece, language in known], 3
        ),
    }
    return [
        {"tunes": name, **row, "key and instrument ÷ ceiling": against(row, ceiling)} for name, row in results.items()
    ]


def against(row: Row, ceiling: Row) -> str:
    """Return how many times the ceiling's share of right keys and instruments a row has."""
    shares = (row[name]["value"] / ceiling[name]["value"] for name in ("key, %", "instrument, %"))
    return ", ".join(f"{share:.2f}" for share in shares)


def each(bench: Bench) -> list[Row]:
    """Every instrument: true tunes through the vocoder, and the model's."""
    played = torch.tensor([piece.instrument for piece in bench.pieces])

    def shares(name: str, number: int) -> str:
        return " / ".join(
            f"{100 * x[name][played == number].float().mean():.0f}" for x in (bench.ceiling, bench.english)
        )

    return [
        {"instrument": x.name} | {f"{name[:-3]}, true / model, %": shares(name, n) for name in bench.ceiling}
        for n, x in enumerate(INSTRUMENTS)
    ]


def length(bench: Bench) -> list[Row]:
    """Tunes longer than in training, by each way to scale RoPE: what is heard in their last part."""
    wanted = pieces(bench.options.longer * len(INSTRUMENTS), "longer")
    prompts = [piece.write(ENGLISH[0]) for piece in wanted]
    rows = []
    for times, method in product((1, *bench.options.lengths), bench.options.methods):
        if times == 1 and method != bench.options.methods[0]:
            continue
        rope = bench.stretched(method, times) if times > 1 else None
        sound = bench.sample(prompts, times * bench.frames, seed=4, rope=rope)
        last = sound[:, -round(bench.seconds * SAMPLE_RATE) :]
        level = 20 * np.log10(np.sqrt((last**2).mean() / (sound**2).mean()))
        row: Row = {
            "times as long": times,
            "RoPE": "–" if times == 1 else named(method, rope),
            **bench.heard(last, wanted),
        }
        rows.append(row | {"last part, dB": f"{level:+.1f}"})
    return rows


def few_steps(bench: Bench) -> list[Row]:
    """Numbers of steps and scales of guidance."""
    wanted = pieces(bench.options.longer * len(INSTRUMENTS), "steps")
    prompts = [piece.write(ENGLISH[0]) for piece in wanted]
    cases = [(steps, bench.options.guidance) for steps in (5, 10, 50)]
    cases += [(bench.options.steps, cfg) for cfg in (1.0, 2.0, 3.0, 5.0)]
    return [
        {"steps": steps, "guidance": cfg, **bench.asked(wanted, prompts, 5, steps=steps, cfg=cfg)}
        for steps, cfg in cases
    ]


def cost(bench: Bench) -> list[Row]:
    """Processor's seconds of a clip as long as in training, on one thread."""
    start = time.process_time()
    made = bench.fresh(["piano music"], bench.frames, 0, bench.sampling)
    between = time.process_time()
    MEL.griffin_lim(made)
    parts = {"network": between - start, "Griffin-Lim": time.process_time() - between}
    return [
        {"seconds of sound": bench.seconds, "part": part, "processor's seconds": spent} for part, spent in parts.items()
    ]
