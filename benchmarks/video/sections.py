"""The parts of the video benchmark; each draws clips and returns rows of measures."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from ...nextdit.layers.rope_scaling import METHODS, TIME_AWARE_LATE
from ...pipelines.video import sample_clips
from ...training.data.motion.batches import FRAMES, PIXELS
from ...training.data.motion.moves import MOVES
from ..shared.flops import video_flops
from .bench import AUTO, PLAIN, Bench, Case, Row

DEFAULT = TIME_AWARE_LATE  # what `auto` is
WINDOWED = f"extrapolation, window {FRAMES}"  # as many frames as in training, in attention
FEW = 8  # clips of what takes long
COST_PROMPT = "dog face moving left"


def overall(bench: Bench) -> list[Row]:
    """The true clips, those from captions, those from captions and the true first frame.

    And of a clip for each way and speed, frames that do not see each other, and frames that are drawn one by one.
    """
    cases, drawn = bench.from_captions
    true, prompts = bench.true(cases), bench.prompts(cases)
    begun = bench.draw(prompts, first=true[:, :, 0])
    fewer = cases[:: bench.each]
    apart = bench.draw(prompts[:: bench.each], window=1)
    single = torch.cat([bench.draw(prompts[:: bench.each], frames=1, seed=i) for i in range(FRAMES)], dim=2)
    first = [next(i for i, case in enumerate(cases) if case.kind == kind) for kind in MOVES]
    bench.clips |= {"true clips": true[first], "from a caption": drawn[first], "and the first frame": begun[first]}
    named = [("true clips", true, cases), ("from a caption", drawn, cases), ("and the first frame", begun, cases)]
    named += [("frames that do not see each other", apart, fewer), ("single frames", single, fewer)]
    return [{"clips": name, **bench.score(clips, asked)} for name, clips, asked in named]


def by_motion(bench: Bench) -> list[Row]:
    """Each way to move, at all of its speeds, from captions."""
    cases, drawn = bench.from_captions
    rows = []
    for kind in MOVES:
        here = [i for i, case in enumerate(cases) if case.kind == kind]
        rows.append({"asked for": kind, **bench.score(drawn[here], [cases[i] for i in here])})
    return rows


def languages(bench: Bench) -> list[Row]:
    """Captions in each of the languages, of concepts that were trained in it: one clip for each way to move."""
    rows = []
    for number, language in enumerate(bench.truth.table["languages"]):
        held = {bench.truth.emoji.index(e) for e, x in bench.truth.held_out if x == language}
        asked = bench.cases(PLAIN, 1, len(PLAIN) * number)
        cases = [case for case in asked if case.concept not in held]
        rows.append({"language": language, **bench.score(bench.draw(bench.prompts(cases, language)), cases)})
    return rows


def steps(bench: Bench, counts: Sequence[int] = (4, 6, 10, 20)) -> list[Row]:
    """From captions in so many steps, with the guidance of the run and with none."""
    cases, rows = bench.cases(each=1), []
    for count, cfg in [(count, bench.sampling.cfg) for count in counts] + [(bench.sampling.steps, 1.0)]:
        clips = bench.draw(bench.prompts(cases), sampling=replace(bench.sampling, steps=count, cfg=cfg))
        rows.append({"steps": count, "guidance": cfg, **bench.score(clips, cases)})
    return rows


def twice(bench: Bench) -> list[Row]:
    """Twice the frames in training: by the default on two clips for each way and speed, else on FEW."""
    cases = bench.cases(each=2)
    clips = bench.draw(bench.prompts(cases), 2 * FRAMES, method=DEFAULT)
    others = [name for name in METHODS if name not in (AUTO, DEFAULT)]
    return [{"method": DEFAULT, **bench.score(clips, cases)}, *by_method(bench, 2, [*others, WINDOWED])]


def four_times(bench: Bench) -> list[Row]:
    """Four times the frames in training, on FEW clips."""
    return by_method(bench, 4, ("extrapolation", "interpolation", DEFAULT, WINDOWED))


def by_method(bench: Bench, times: int, methods: Sequence[str]) -> list[Row]:
    """So many times the frames in training by methods, or each frame with those near it, on FEW clips."""
    cases, rows = bench.cases(PLAIN, FEW // len(PLAIN)), []
    for name in methods:
        options = {"method": "extrapolation", "window": FRAMES} if name == WINDOWED else {"method": name}
        clips = bench.draw(bench.prompts(cases), times * FRAMES, **options)
        rows.append({"method": name, **bench.score(clips, cases)})
    return rows


def larger(bench: Bench, size: int = 2 * PIXELS) -> list[Row]:
    """Twice the size in training by the default, by interpolation and without scaling."""
    cases: list[Case] = bench.cases(PLAIN, FEW // len(PLAIN))
    rows = []
    for name in ("extrapolation", "interpolation", DEFAULT):
        clips = bench.draw(bench.prompts(cases), FRAMES, size, method=name)
        rows.append({"method": name, **bench.score(clips, cases)})
    return rows


def cost(bench: Bench, counts: Sequence[int] = (1, 4, 8, 16, 32)) -> list[Row]:
    """Seconds of processor time of a step without guidance, and as many times those of 8 frames as the formula says."""
    sampling = replace(bench.sampling, steps=1, cfg=1.0)
    config, side = bench.model.config, PIXELS // bench.model.config.patch_size
    text = bench.encoder([COST_PROMPT])[0].shape[1]

    def formula(frames: int, window: int | None = None) -> float:
        return video_flops(config, (side, side), frames, text, window) / video_flops(config, (side, side), FRAMES, text)

    def seconds(frames: int, window: int | None) -> float:
        x = torch.randn(1, 3, frames, PIXELS, PIXELS)

        def once() -> float:
            start = time.process_time()
            sample_clips(bench.model, bench.encoder, [COST_PROMPT], x, sampling, window=window)
            return time.process_time() - start

        once()
        return min(once() for _ in range(3))

    whole = {frames: seconds(frames, None) for frames in counts}
    near = {frames: seconds(frames, FRAMES) for frames in counts if frames > FRAMES}
    base = whole[FRAMES]
    return [
        {
            "frames": frames,
            "seconds": whole[frames],
            "times 8 frames": whole[frames] / base,
            "formula": formula(frames),
            "window 8, times": near.get(frames, whole[frames]) / base,
            "its formula": formula(frames, FRAMES),
        }
        for frames in counts
    ]


def speed(bench: Bench, frames: int = 16, size: int = 64) -> list[Row]:
    """Seconds of a whole clip of 16 frames at 64 px, by the clock and of processor time of all threads."""
    start, busy = time.monotonic(), time.process_time()
    bench.draw([COST_PROMPT], frames, size)
    return [
        {
            "frames": frames,
            "side, px": size,
            "steps": bench.sampling.steps,
            "threads": torch.get_num_threads(),
            "seconds": time.monotonic() - start,
            "processor seconds": time.process_time() - busy,
        }
    ]
