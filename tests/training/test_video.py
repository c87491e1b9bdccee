"""Clips of moving emoji and the training on them: what is drawn, what is said, and that a run goes on as it was."""

import random

import pytest
import torch

from lumina_next.nextdit import VideoNextDiT, load_model
from lumina_next.nextdit.train_size import train_frames, train_tokens
from lumina_next.tests.support import untrained_model
from lumina_next.training.data.emoji import pack
from lumina_next.training.data.motion.batches import MotionBatches, clip_buckets, draw_given, render, sprites
from lumina_next.training.data.motion.captions import SENTENCES, SPEED_WORDS, MotionCaptions, sentence
from lumina_next.training.data.motion.moves import MOVES, STILL, speeds, track
from lumina_next.training.loop.flow import flow_loss
from lumina_next.training.loop.trainer import train
from lumina_next.training.tasks import video

SMALL = ["--tokens", "512", "--no-compile", "--warmup", "5", "--rate", "3e-3", "--device", "cpu", "--no-samples"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "demo.npz"
    pack.pack_demo(file)
    return file


@pytest.fixture(scope="module")
def table(packed):
    return pack.read(packed)[0]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    file = tmp_path_factory.mktemp("start") / "image.safetensors"
    untrained_model.write(file)
    return file


def test_every_language_says_every_way_and_speed_apart(table):
    assert set(SENTENCES) == set(SPEED_WORDS) == set(table["languages"])
    for language in SENTENCES:
        said = {sentence(language, "🐶", kind, speed) for kind in MOVES for speed in speeds(kind)}
        assert len(said) == sum(len(speeds(kind)) for kind in MOVES)
        assert all(text.count("🐶") == 1 and "{" not in text and "  " not in text for text in said)
        assert sentence(language, "🐶", STILL) == "🐶"
    assert sentence("en", "dog face", "left", "slow") == "dog face moving left slowly"
    assert sentence("de", "Hund", "left", "fast") == "Hund bewegt sich schnell nach links"
    assert sentence("zh", "狗", "grow", "slow") == "狗慢慢变大"


def test_captions_never_say_what_was_held_out(table):
    held = {tuple(pair) for pair in table["held_out"]}
    captions, chance = MotionCaptions(table), random.Random(0)
    forms = {
        (sentence(language, table["words"][e][language][0], kind, speed), e): (e, language)
        for e, language in held
        for kind in MOVES
        for speed in speeds(kind)
    }
    others = {
        sentence(language, table["words"][e][language][0], kind, speed)
        for e in table["emoji"]
        for language in table["languages"]
        if (e, language) not in held
        for kind in MOVES
        for speed in speeds(kind)
    }
    drawn = [captions.draw(chance) for _ in range(3000)]
    assert not [text for text, concept, *_ in drawn if (text, table["emoji"][concept]) in forms and text not in others]
    assert {kind for _, _, kind, _ in drawn} == {*MOVES, STILL} and len({c for _, c, *_ in drawn}) == 64


@pytest.mark.parametrize("turns,share", [(1.0, 1 / 8), (3.0, 3 / 10), (0.0, 0.0)])
def test_things_turn_as_often_as_asked_for(table, turns, share):
    captions, chance = MotionCaptions(table, turns), random.Random(0)
    kinds = [kind for _, _, kind, _ in (captions.draw(chance) for _ in range(3000)) if kind != STILL]
    assert kinds.count("turn") / len(kinds) == pytest.approx(share, abs=0.03)
    assert kinds.count("left") / len(kinds) == pytest.approx((1 - share) / 7, abs=0.03)


@pytest.mark.parametrize("kind", MOVES)
def test_a_clip_is_as_it_is_said(kind):
    """A white square on nothing: where it is, how large it is and which way is up."""
    square = torch.zeros(1, 64, 64, 4, dtype=torch.uint8)
    square[:, 16:48, 16:48] = torch.tensor([0, 0, 0, 255], dtype=torch.uint8)
    square[:, 16:24, 28:36] = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)  # its top
    for speed in speeds(kind):
        (clip,) = render(sprites(square), [track(kind, speed, torch.linspace(0, 1, 9))], 64, 64)
        dark = clip.amin(0) < 0
        ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        area = dark.sum((1, 2)).float()
        x, y = ((where * dark).sum((1, 2)) / area for where in (xs, ys))
        red = (clip[0] > 0.5) & (clip[1] < 0)
        top_x, top_y = ((where * red).sum((1, 2)) / red.sum((1, 2)) for where in (xs, ys))
        assert ((x[-1] - x[0]).sign(), (y[-1] - y[0]).sign()) == {
            "left": (-1, 0),
            "right": (1, 0),
            "up": (0, -1),
            "down": (0, 1),
        }.get(kind, (0, 0)) or kind in ("turn", "bounce", "grow", "shrink")
        assert (area[-1] > 1.2 * area[0]) == (kind == "grow") and (area[-1] < 0.8 * area[0]) == (kind == "shrink")
        if kind == "turn":  # clockwise: the top goes to the right first
            assert top_y[0] < y[0] - 4 and top_x[1] > x[1] + 1
        else:
            assert ((top_y < y) & ((top_x - x).abs() < 1.5)).all()
        if kind == "bounce":
            assert y[4 if speed == "slow" else 2] < y[0] - 12 and abs(y[-1] - y[0]) < 1


def test_batches_are_the_same_for_a_step_and_of_every_shape(packed):
    buckets = clip_buckets(0.3)
    batches, again = (MotionBatches(packed, 1024, 4, 3, buckets) for _ in range(2))
    shapes = set()
    for step in range(60):
        one, other = batches.draw(step, step / 60), again.draw(step, step / 60)
        assert torch.equal(one.clips, other.clips) and one.prompts == other.prompts
        assert torch.equal(one.given, other.given) and not one.given.all(1).any()
        assert one.clips.shape[0] == len(one.prompts) == len(one.given) and one.clips.abs().max() <= 1.0001
        assert one.positions[0].max() < 8 and len(one.positions[1]) == one.clips.shape[-1] // 4
        shapes.add(tuple(one.clips.shape[1:]))
    assert {(3, 8, 16, 16), (3, 4, 16, 16), (3, 8, 32, 32)} <= shapes
    assert {b.frames for b in buckets} == {1, 4, 8} and any(b.width > b.height for b in buckets)


def test_given_frames_are_drawn_in_every_way():
    chance = random.Random(0)
    drawn = [draw_given(8, chance) for _ in range(400)]
    assert all(not given.all() for given in drawn)
    told = {tuple(given.nonzero().flatten().tolist()) for given in drawn}
    assert {(), (0,), (0, 7)} < told and len(told) > 20
    assert not draw_given(1, random.Random(1)).any()


def test_given_frames_are_clean_and_count_for_nothing():
    data = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    given = torch.tensor([[True, False, False, False], [False] * 4])[:, None, :, None, None]
    seen = []

    def velocity(x, t):
        seen.append(x)
        return torch.where(given, 100.0, 0.0).expand_as(x)

    generator = torch.Generator().manual_seed(0)
    loss = flow_loss(velocity, data, generator, given=given)
    assert torch.equal(seen[0][0, :, 0], data[0, :, 0]) and not torch.allclose(seen[0][1, :, 0], data[1, :, 0])
    assert loss < 10  # the mean square of data − noise, without the hundreds


def options(packed, encoder, model, run, *more):
    given = ["--cache", str(packed), "--text-encoder", str(encoder), "--model", str(model), "--run", str(run)]
    return video.parse([*given, *SMALL, *more])


def trained(chosen):
    trainer = video.make_trainer(chosen)
    return trainer, train(trainer, chosen.run, chosen.out)


def test_thirty_steps_make_the_loss_fall_and_leave_a_checkpoint(packed, text_encoder_folder, start, tmp_path):
    _, losses = trained(options(packed, text_encoder_folder, start, tmp_path, "--steps", "30", "--half", "0.7"))
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    model = load_model(tmp_path / "model.safetensors")
    assert isinstance(model, VideoNextDiT) and model.x_embedder.weight.dtype == torch.bfloat16
    from lumina_next.nextdit.checkpoint import describe

    told = describe(tmp_path / "model.safetensors").metadata
    assert (train_tokens(told), train_frames(told)) == (8, 8)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(packed, text_encoder_folder, start, tmp_path):
    whole, _ = trained(options(packed, text_encoder_folder, start, tmp_path / "whole", "--steps", "6"))
    chosen = options(packed, text_encoder_folder, start, tmp_path / "parts", "--steps", "6")
    first = video.make_trainer(chosen)
    for _ in range(3):
        first.step(first.batches.draw(first.run.step, first.spent))
    first.run.save(chosen.run / "state.pt")
    second, losses = trained(chosen)
    assert len(losses) == 3
    for name, value in whole.run.model.state_dict().items():
        assert torch.equal(second.run.model.state_dict()[name], value), name


def test_samples_are_rows_of_frames(packed, text_encoder_folder, start, tmp_path):
    from PIL import Image

    trainer = video.make_trainer(options(packed, text_encoder_folder, start, tmp_path, "--steps", "1"))
    trainer.task.show(trainer.run.averaged(), tmp_path / "samples.png", 1.0)
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (8 * 32, len(video.SHOWN) * 32)
