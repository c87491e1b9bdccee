"""The judge of motion knows every way to move at every speed, and a benchmark run writes its files."""

import json
import random

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lumina_next.benchmarks.shared.flops import video_flops
from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.benchmarks.video import bench, run
from lumina_next.benchmarks.video.judge import Identities, all_kinds, drift, look, motion, turning, unsteadiness
from lumina_next.nextdit import VideoNextDiT
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.models.video import VideoConfig
from lumina_next.tests.benchmarks.test_step import plain
from lumina_next.tests.support import untrained_video
from lumina_next.training.data.motion.batches import render, sprites
from lumina_next.training.data.motion.moves import STILL, track


@pytest.fixture(scope="module")
def rgba():
    return torch.from_numpy(Truth().rgba(64).copy())[:64]


def clip(rgba, concept, kind, speed, frames=8, size=(32, 32), seed=None):
    chance = None if seed is None else random.Random(seed)
    moved = track(kind, speed, torch.linspace(0, 1, frames), chance)
    return render(sprites(rgba[concept : concept + 1]), [moved], *size)[0]


@pytest.mark.parametrize("kind, speed", all_kinds())
def test_true_clips_are_judged_right(rgba, kind, speed):
    for i, (frames, size) in enumerate(((8, (32, 32)), (8, (64, 64)), (16, (32, 32)), (5, (32, 48)))):
        if frames == 5 and (kind, speed) == ("bounce", ""):
            continue  # two hops, of which five frames see the ground alone
        concept = (7 * i + len(kind)) % 64
        seen = motion(clip(rgba, concept, kind, speed, frames, size, seed=i))
        assert (seen.kind, seen.speed) == (kind, speed)


def test_what_stands_still_or_is_not_there_does_not_move(rgba):
    assert motion(clip(rgba, 3, STILL, "", seed=1)).kind == STILL
    assert motion(torch.ones(3, 8, 32, 32)).kind == STILL
    assert look(torch.ones(3, 8, 32, 32)).size.max() == 0


def test_turning_is_clockwise_and_in_degrees(rgba):
    turned = clip(rgba, 0, "turn", "")
    assert abs(turning(turned, look(turned)) - 150) <= 20
    back = turned.flip(1)
    assert abs(turning(back, look(back)) + 150) <= 20
    assert motion(back).kind != "turn"


def test_objects_are_known_wherever_they_are(rgba):
    known = Identities(rgba)
    for concept, (kind, speed) in zip(range(0, 64, 3), all_kinds(), strict=False):
        assert known.nearest(clip(rgba, concept, kind, speed, seed=concept), kind == "turn") == concept


def test_drift_and_unsteadiness_are_of_the_object_and_not_of_its_way(rgba):
    steady = clip(rgba, 10, "left", "fast")
    faded = steady + torch.linspace(0, 0.5, 8)[None, :, None, None] * (1 - steady) * 0.5
    mixed = steady.clone()
    mixed[:, 4:] = clip(rgba, 40, "left", "fast")[:, 4:]
    assert drift(steady) < 0.05 < drift(faded)
    assert unsteadiness(steady) < 0.006 < unsteadiness(mixed)


@pytest.mark.parametrize("frames, window", [(1, None), (4, None), (6, 3), (3, 9)])
def test_the_formula_is_what_torch_counts(frames, window):
    config = VideoConfig.of(untrained_video.CONFIG)
    model = VideoNextDiT(config, device="meta")
    x, text = torch.empty(1, 3, frames, 8, 12, device="meta"), torch.empty(1, 5, 128, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.velocity(x, torch.empty(1, device="meta"), text, call=Call(attend=plain), window=window)
    assert counter.get_total_flops() == video_flops(config, (2, 3), frames, 5, window)


def test_a_run_writes_results_and_a_picture(tmp_path, monkeypatch):
    file = tmp_path / "video.safetensors"
    untrained_video.write(file)
    monkeypatch.setattr(run, "fill_document", lambda *_: None)
    monkeypatch.setattr(bench, "all_kinds", lambda: bench.PLAIN)  # a third of the clips
    common = [
        "--model",
        str(file),
        "--steps",
        "1",
        "--each",
        "1",
        "--results",
        str(tmp_path),
        "--pictures",
        str(tmp_path),
    ]
    run.main([*common, "--sections", "overall", "--name", "small"])
    told = json.loads((tmp_path / "small.json").read_text("utf-8"))
    rows = {row["clips"]: row for row in told["sections"]["Motion and object"]}
    assert rows["true clips"]["motion"]["value"] == 100 and rows["true clips"]["object"]["value"] == 100
    assert rows["from a caption"]["motion"]["value"] < 60
    assert (tmp_path / "small.webp").is_file() and "motion, %" in (tmp_path / "small.md").read_text("utf-8")
