"""What is measured of models of sounds, a table each."""

import time
from collections.abc import Sequence
from functools import cached_property
from itertools import permutations, product
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...nextdit.captions import in_parts
from ...training.data.sounds import captions
from ...training.data.sounds.prepare import MEL
from ...training.data.sounds.rendering import SAMPLE_RATE, TRAINING_FONTS
from ...training.data.sounds.sounds import SOUNDS
from ...training.data.sounds.words import EMOJI, LANGUAGES, NAMES
from ..shared.metrics import mean, rate
from .generator import Generator, named
from .hearing import Hearing, windows
from .judge import FONTS, JUDGED, Clips, Judge, vocoded
from .measures import frechet, main_axes

Row = dict[str, Any]
PLAIN = "extrapolation"
IN_PARTS = "structured, in parts"
SILENCE = 10 ** (-50 / 20)
"""Half of a clip is silent if its root mean square is below that of full scale."""


class Bench(Generator):
    """A model, the judge, and true clips to compare with."""

    @cached_property
    def judge(self) -> Judge:
        """The judge, which learns from clips as they are and as the vocoder makes them."""
        clips = Clips(FONTS, 16, "judge", self.options.fonts)
        sound, which = clips.every(JUDGED, self.options.judge_clips)
        return Judge(Hearing(), np.concatenate([sound, vocoded(sound)]), torch.cat([which, which]))

    @cached_property
    def true(self) -> Clips:
        """Clips of the generator's fonts, of notes that training does not have."""
        return Clips(TRAINING_FONTS, 16, "held out", self.options.fonts)

    @cached_property
    def references(self) -> tuple[np.ndarray, Tensor]:
        """True clips of the judged sounds through the vocoder, (B, samples), and which they are (B,)."""
        sound, which = self.true.every(JUDGED, self.options.references, self.seconds)
        return vocoded(sound), which

    @cached_property
    def made(self) -> tuple[np.ndarray, Tensor]:
        """Clips of the judged sounds by their English names, and which they are."""
        sounds = JUDGED * self.options.samples
        return self.sample([captions.with_article(n) for n in sounds]), torch.tensor(sounds)


def right(bench: Bench, prompts: Sequence[str], sounds: Sequence[int], **options: Any) -> dict[str, float]:
    """Return the share of prompts in which the judge hears their sounds."""
    return rate(bench.judge(bench.sample(prompts, **options)) == torch.tensor(sounds))


def sounds(bench: Bench) -> list[Row]:
    """How often the judge hears the right sound: in true clips, and in those of prompts of several kinds."""
    clips, which = bench.references
    ceiling = rate(bench.judge(clips) == which)
    raw, known = bench.true.every(JUDGED, bench.options.references, bench.seconds)
    made, wanted = bench.made
    results = {
        "true clips": rate(bench.judge(raw) == known),
        "true clips, vocoder (ceiling)": ceiling,
        "English names": rate(bench.judge(made) == wanted),
    }
    every = range(len(JUDGED))
    unseen = [captions.UNSEEN[i % len(captions.UNSEEN)].format(a=captions.with_article(JUDGED[i])) for i in every]
    results["English, words never trained"] = right(bench, unseen, JUDGED, seed=1)
    results["structured"] = right(bench, [captions.structured([n]) for n in JUDGED], JUDGED, seed=2)
    pairs = [(n, x) for n, x in product(JUDGED, LANGUAGES[1:])]
    held = [captions.is_held_out(SOUNDS[n].name, x) for n, x in pairs]
    for name, kind in (("nine other languages", False), ("held-out names", True)):
        chosen = [pair for pair, out in zip(pairs, held, strict=True) if out == kind][:: bench.options.thinned]
        prompts = [NAMES[x][n][0] for n, x in chosen]
        results[name] = right(bench, prompts, [n for n, _ in chosen], seed=3)
    shown = [n for n in JUDGED if n in EMOJI]
    results["emoji"] = right(bench, [EMOJI[n][0] for n in shown], shown, seed=4)
    return [
        {"clips": name, "right sound, %": found, "÷ ceiling": found["value"] / ceiling["value"]}
        for name, found in results.items()
    ]


def each(bench: Bench) -> list[Row]:
    """Every judged sound: true clips through the vocoder, and the model's."""
    heard = [(bench.judge(clips) == which, which) for clips, which in (bench.references, bench.made)]
    return [
        {"sound": SOUNDS[n].name}
        | {
            name: f"{100 * float(hits[which == n].float().mean()):.0f}"
            for name, (hits, which) in zip(("true, vocoder, %", "model, %"), heard, strict=True)
        }
        for n in JUDGED
    ]


def distance(bench: Bench) -> list[Row]:
    """Fréchet distances of sets of clips to true ones, in the main axes of the true ones' features."""
    hearing = bench.judge.hearing

    def features(sound: np.ndarray) -> Tensor:
        parts = windows(sound)
        return hearing(parts.reshape(-1, parts.shape[-1]))

    count = bench.options.references
    true = features(bench.references[0])
    axes = main_axes(true)
    others = Clips(TRAINING_FONTS, 16, "held out again", bench.options.fonts).every(JUDGED, count, bench.seconds)[0]
    judges = Clips(FONTS, 16, "held out", bench.options.fonts).every(JUDGED, count, bench.seconds)[0]
    rows = {
        "other true clips (floor)": vocoded(others),
        "the same, without vocoder": bench.true.every(JUDGED, count, bench.seconds)[0],
        "the judge's SoundFonts": vocoded(judges),
        "model": bench.made[0],
    }
    return [{"clips": name, "Fréchet distance": frechet(features(x) @ axes, true @ axes)} for name, x in rows.items()]


def pairs_of(count: int, held: bool) -> list[tuple[int, int]]:
    """Return up to `count` pairs of judged sounds, in orders that training never had or in others; always the same."""
    pairs = [pair for pair in permutations(JUDGED, 2) if captions.pair_is_held_out(pair) == held]
    return Random("pairs").sample(pairs, min(count, len(pairs)))


def order(bench: Bench) -> list[Row]:
    """Two sounds, one after the other: what the judge hears in the first half and in the second."""
    count = bench.options.pairs
    known, held = pairs_of(count, False), pairs_of(count, True)
    named = [[captions.with_article(n) for n in pair] for pair in known]
    never = [[captions.with_article(n) for n in pair] for pair in held]
    cases = {
        "true clips, vocoder": (known, None),
        "a, then b": (known, [f"{a}, then {b}" for a, b in named]),
        "b after a": (known, [f"{b} after {a}" for a, b in named]),
        "structured": (known, [captions.structured(pair) for pair in known]),
        IN_PARTS: (known, [captions.structured(pair) for pair in known]),
        "a, then b: held-out pairs": (held, [f"{a}, then {b}" for a, b in never]),
        f"{IN_PARTS}: held-out pairs": (held, [captions.structured(pair) for pair in held]),
    }
    rows = []
    for name, (pairs, prompts) in cases.items():
        if prompts is None:
            sound = vocoded(np.stack([bench.true.clip(pair, bench.seconds, n) for n, pair in enumerate(pairs)]))
        else:
            more: dict[str, Any] = {}
            if name.startswith(IN_PARTS):
                more["parts"] = [in_parts(prompt) for prompt in prompts]
            sound = bench.sample(prompts, seed=5, **more)
        first, second = heard_halves(bench, sound)
        a, b = torch.tensor(pairs).T
        rows.append({"prompts": name, "first, %": rate(first == a), "second, %": rate(second == b)})
        rows[-1]["both, in order, %"] = rate((first == a) & (second == b))
    return rows


def heard_halves(bench: Bench, sound: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return what the judge hears in the first and the second half of clips (B, samples)."""
    half = sound.shape[1] // 2
    return bench.judge(sound[:, :half]), bench.judge(sound[:, half:])


def length(bench: Bench) -> list[Row]:
    """Clips longer than in training, by each way to scale RoPE: what is heard in either half, and how loud it is."""
    sounds, rows = JUDGED[:: bench.options.thinned] * bench.options.longer, []
    prompts, wanted = [captions.with_article(n) for n in sounds], torch.tensor(sounds)
    plain: dict[int, Tensor] = {}
    for times, method in product((1, *bench.options.lengths), bench.options.methods):
        if times == 1 and method != bench.options.methods[0]:
            continue
        rope = bench.stretched(method, times) if times > 1 else None
        sound = bench.sample(prompts, times * bench.frames, seed=6, rope=rope)
        first, second = (heard == wanted for heard in heard_halves(bench, sound))
        if method == PLAIN:
            plain[times] = first & second
        row: Row = {"times as long": times, "RoPE": "–" if times == 1 else named(method, rope)}
        row |= {"first half, %": rate(first), "second half, %": rate(second), "both, %": rate(first & second)}
        row["both − plain's, points"] = against_plain(first & second, plain.get(times), method)
        rows.append(row | loudness(sound))
    return rows


def against_plain(right: Tensor, plain: Tensor | None, method: str) -> Row | str:
    """Return by how many points of 100 a method is above plain positions, clip by clip, where these were measured."""
    if plain is None or method == PLAIN:
        return "–"
    return mean(100 * (right.float() - plain.float()))


def loudness(sound: np.ndarray) -> Row:
    """Return how much louder the second halves of clips (B, samples) are, and how many halves are silent."""
    levels = [np.sqrt((half**2).mean(1)) for half in np.split(sound, 2, axis=1)]
    louder = 20 * np.log10(np.sqrt((levels[1] ** 2).mean()) / np.sqrt((levels[0] ** 2).mean()))
    silent = 100 * float(np.mean(np.concatenate(levels) < SILENCE))
    return {"second half, dB": f"{louder:+.1f}", "silent halves, %": f"{silent:.1f}"}


def few_steps(bench: Bench) -> list[Row]:
    """Numbers of steps and scales of guidance."""
    chosen = JUDGED[:: bench.options.thinned]
    prompts = [captions.with_article(n) for n in chosen]
    cases = [(steps, bench.options.guidance) for steps in (5, 10, 20, 40)]
    cases += [(bench.options.steps, cfg) for cfg in (1.0, 2.0, 5.0)]
    return [
        {"steps": steps, "guidance": cfg, "right sound, %": right(bench, prompts, chosen, seed=7, steps=steps, cfg=cfg)}
        for steps, cfg in cases
    ]


def cost(bench: Bench) -> list[Row]:
    """Processor's seconds of ten seconds of sound, on one thread."""
    frames = bench.model.config.frames(10.0)
    rows, made = [], None
    for name in ("network", "Griffin-Lim"):
        start = time.process_time()
        if made is None:
            made = bench.spectra(["a piano"], frames)
        else:
            MEL.griffin_lim(made)
        rows.append({"part": name, "processor's seconds": time.process_time() - start})
    return [{"seconds of sound": frames * MEL.hop / SAMPLE_RATE, **row} for row in rows]
