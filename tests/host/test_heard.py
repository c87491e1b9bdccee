"""What the box's models of sounds and music make in a real ComfyUI is what was asked for, by its pitch and its gaps."""

import numpy as np
import pytest

from lumina_next.demo import FOLDER
from lumina_next.nextdit.encoders.audio.mel import Mel
from lumina_next.tests.host.test_workflows import in_few_steps, load, with_inputs

STEPS = 12
SEED = 5
ABSENT = "the box of this checkout has no model of {}"
SOUNDS, MUSIC = (FOLDER / f"diffusion_models/lumina-next-demo-{name}.safetensors" for name in ("sounds", "music"))
sounds = pytest.mark.skipif(not SOUNDS.is_file(), reason=ABSENT.format("sounds"))
music = pytest.mark.skipif(not MUSIC.is_file(), reason=ABSENT.format("music"))
HIGH, LOW = "whistle", "bass guitar"
STEADY = "rain", "strings", "choir", "sea waves"


def all_heard(client, name: str, seed: int, prompt: str | None = None, **inputs):
    """The sounds that a workflow makes with other inputs of its nodes."""
    graph = with_inputs(in_few_steps(load(name), STEPS), "KSampler", seed=seed)
    if prompt is not None:
        graph["2"]["inputs"]["text"] = prompt
    for node, changed in inputs.items():
        graph[node]["inputs"] |= changed
    return client.sounds(client.run(graph))


def heard(*chosen, **inputs):
    """The only sound that it makes."""
    (sound,) = all_heard(*chosen, **inputs)
    return sound


def spectrum(sound) -> np.ndarray:
    """Magnitudes (80, frames) of a sound."""
    return 10 ** Mel()(sound.at(16000).samples[None])[0].numpy()


def height(magnitudes: np.ndarray) -> float:
    """The middle of a spectrum's energy, in bins: low sounds have few."""
    power = (magnitudes**2).sum(1)
    return float((power * np.arange(80)).sum() / power.sum())


def quiet(sound) -> float:
    """The part of the time in which there is a hundredth of the loudest frame's energy at most."""
    energy = (spectrum(sound) ** 2).sum(0)
    return float((energy < 0.01 * energy.max()).mean())


@sounds
def test_high_and_low_sounds_steady_ones_and_those_with_gaps(client):
    high, low, claps = (heard(client, "text_to_sound", SEED, prompt) for prompt in (HIGH, LOW, "hand clap"))
    assert height(spectrum(high)) > 35 and height(spectrum(low)) < 15
    assert quiet(claps) > 0.4
    for prompt in STEADY:
        made = all_heard(client, "text_to_sound", SEED, prompt, **{"4": {"batch_size": 2}})
        assert [quiet(sound) < 0.3 for sound in made] == [True, True], prompt


@sounds
@pytest.mark.parametrize("order", [(HIGH, LOW), (LOW, HIGH)])
def test_what_is_said_to_come_first_does(client, order):
    made = spectrum(heard(client, "sounds_in_order", SEED, **{"2": {"start": order[0], "end": order[1]}}))
    first, second = (height(part) for part in np.array_split(made, 2, axis=1))
    assert (first > second + 10) if order == (HIGH, LOW) else (second > first + 10), (first, second)


@sounds
def test_a_longer_sound_goes_on(client):
    made = spectrum(heard(client, "longer_sound", SEED, "sea waves"))
    levels = [10 * np.log10((part**2).mean()) for part in np.array_split(made, 2, axis=1)]
    assert abs(levels[0] - levels[1]) < 6


@sounds
def test_only_the_stretch_becomes_the_other_sound(client):
    """Dogs bark with pauses, and rain has none."""
    energy = (spectrum(heard(client, "repaint_sound", SEED)) ** 2).sum(0)
    begin, end = (round(62.5 * second) for second in (1.5, 2.6))
    pauses = energy < 0.01 * np.median(energy)
    assert pauses[begin:end].mean() > 0.2 and pauses[end + 3 :].mean() < 0.02 > pauses[30 : begin - 3].mean()


@music
def test_tunes_are_played_by_their_instruments(client):
    bright, dark = (
        heard(client, "text_to_music", SEED, f"a {name} tune in C major, 100 bpm") for name in ("glockenspiel", "choir")
    )
    assert height(spectrum(bright)) > 2 * height(spectrum(dark))


def onsets(sound, bpm: float) -> float:
    """How regularly a sound gets louder once a beat of a tempo, 0 to 1."""
    level = 10 * np.log10((spectrum(sound) ** 2).sum(0) + 1e-6)
    rise = np.maximum(np.diff(level), 0)
    phase = np.exp(2j * np.pi * np.arange(len(rise)) / 62.5 * bpm / 60)
    return float(abs((rise * phase).sum()) / rise.sum())


@music
@pytest.mark.parametrize("instrument", ["music box"])
def test_tunes_have_their_tempo(client, instrument):
    slow, fast = (
        heard(client, "text_to_music", SEED, f"a {instrument} tune in C major, {bpm} bpm") for bpm in (70, 100)
    )
    assert onsets(slow, 70) > onsets(slow, 100) and onsets(fast, 100) > onsets(fast, 70)
