"""The trained video model through a real server: what moves in its MP4 files, and how, judged without a network.

By chance a clip shows the right one of 64 things moving in the right one of nine ways once in 576 times.
"""

import numpy as np
import pytest
import torch

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.benchmarks.video.judge import Identities, motion
from lumina_next.tests.host.test_workflows import in_few_steps, load, with_inputs

ENLARGED = 8
STEPS = 6


@pytest.fixture(scope="module")
def known() -> Identities:
    truth = Truth()
    return Identities(torch.from_numpy(truth.rgba(64)[: len(truth.emoji)].copy()))


def as_drawn(frames: np.ndarray) -> torch.Tensor:
    """The frames of a file (F, H, W, 3) as the model drew them, (3, F, H / 8, W / 8) in [-1, 1]."""
    count, height, width, _ = frames.shape
    parts = frames.reshape(count, height // ENLARGED, ENLARGED, width // ENLARGED, ENLARGED, 3).astype(np.float32)
    return torch.from_numpy(parts.mean((2, 4))).permute(3, 0, 1, 2) / 127.5 - 1


def drawn(client, prompt: dict) -> torch.Tensor:
    (clip,) = client.clips(client.run(in_few_steps(prompt, STEPS)))
    return as_drawn(clip)


def told(known: Identities, clip: torch.Tensor) -> tuple[str, str]:
    """What a clip shows, and how it moves."""
    moves = motion(clip).kind
    return Truth().name(known.nearest(clip, moves == "turn"), "en"), moves


def asked(prompt: dict, node: str, text: str) -> dict:
    """The prompt with another text in a node."""
    prompt[node]["inputs"]["text"] = text
    return prompt


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("red apple moving right quickly", ("red apple", "right")),
        ("ゆっくり小さくなるパンダ", ("panda", "shrink")),
        ("rocket bouncing", ("rocket", "bounce")),
    ],
)
def test_a_prompt_says_what_moves_and_how(client, known, text, wanted):
    clip = drawn(client, asked(load("text_to_video"), "4", text))
    assert clip.shape == (3, 8, 32, 32) and told(known, clip) == wanted


def test_twice_as_many_frames_move_likewise(client, known):
    clip = drawn(client, load("longer_video"))
    assert clip.shape[1] == 16 and told(known, clip) == ("rocket", "up")


def test_an_image_moves_and_stays_what_it_is(client, known):
    prompt = load("image_to_video")
    clip = drawn(client, prompt)
    assert told(known, clip) == ("panda", "bounce")
    other = drawn(client, asked(with_inputs(prompt, "KSampler", seed=1), "9", "panda moving down"))
    assert torch.allclose(clip[:, 0], other[:, 0], atol=0.1), "the first frame is the image's"
    assert told(known, other) == ("panda", "down")


def test_frames_between_two_sizes_grow(client, known):
    assert told(known, drawn(client, load("between_two_images"))) == ("rocket", "grow")


def test_a_clip_drawn_anew_moves_likewise_and_shows_another_thing(client, known):
    both = drawn(client, load("video_to_video"))
    assert told(known, both[..., :32]) == ("dog face", "left")
    assert told(known, both[..., 32:]) == ("cat face", "left")
