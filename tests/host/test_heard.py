"""What the box's models of sounds and music make in a real ComfyUI is what was asked for, by its pitch and its gaps."""

import numpy as np
import pytest

from lumina_next.demo import FOLDER
from lumina_next.nextdit.encoders.audio.mel import Mel
from lumina_next.tests.host.test_workflows import in_few_steps, load, with_inputs

STEPS = 12
SEEDS = (5, 6)
ABSENT = "the box of this checkout has no model of {}"
SOUNDS, MUSIC = (FOLDER / f"diffusion_models/lumina-next-demo-{name}.safetensors" for name in ("sounds", "music"))
sounds = pytest.mark.skipif(not SOUNDS.is_file(), reason=ABSENT.format("sounds"))
music = pytest.mark.skipif(not MUSIC.is_file(), reason=ABSENT.format("music"))
HIGH, LOW = "whistle", "bass guitar"


def heard(client, name: str, seed: int, prompt: str | None = None, **inputs):
    graph = with_inputs(in_few_steps(load(name), STEPS), "KSampler", seed=seed)
    if prompt is not None:
        graph["2"]["inputs"]["text"] = prompt
    for node, changed in inputs.items():
        graph[node]["inputs"] |= changed
    (sound,) = client.sounds(client.run(graph))
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
@pytest.mark.parametrize("seed", SEEDS)
def test_high_and_low_sounds_steady_ones_and_those_with_gaps(client, seed):
    high, low, claps, waves = (heard(client, "text_to_sound", seed, p) for p in (HIGH, LOW, "hand clap", "sea waves"))
    assert height(spectrum(high)) > 35 and height(spectrum(low)) < 15
    assert quiet(claps) > 0.4 > quiet(waves) + 0.1


@sounds
def test_words_of_other_languages_mean_the_same(client):
    for words, is_high in (("哨子", True), ("sifflet", True), ("ベースギター", False), ("guitare basse", False)):
        made = height(spectrum(heard(client, "text_to_sound", SEEDS[0], words)))
        assert made > 35 if is_high else made < 15, words


@sounds
@pytest.mark.parametrize("order", [(HIGH, LOW), (LOW, HIGH)])
def test_what_is_said_to_come_first_does(client, order):
    made = spectrum(heard(client, "sounds_in_order", SEEDS[0], **{"2": {"start": order[0], "end": order[1]}}))
    first, second = (height(part) for part in np.array_split(made, 2, axis=1))
    assert (first > second + 10) if order == (HIGH, LOW) else (second > first + 10), (first, second)


@sounds
def test_a_longer_sound_goes_on(client):
    made = spectrum(heard(client, "longer_sound", SEEDS[0], "sea waves"))
    levels = [10 * np.log10((part**2).mean()) for part in np.array_split(made, 2, axis=1)]
    assert abs(levels[0] - levels[1]) < 6


@sounds
def test_only_the_stretch_becomes_the_other_sound(client):
    made = heard(client, "repaint_sound", SEEDS[0], **{"3": {"text": LOW}, "8": {"text": HIGH}})
    magnitudes = spectrum(made)
    begin, end = (round(62.5 * second) for second in (1.5, 2.6))
    around = np.concatenate([magnitudes[:, :begin], magnitudes[:, end:]], axis=1)
    assert height(magnitudes[:, begin:end]) > height(around) + 5


def share(sound, tones: tuple[int, ...]) -> float:
    """The part of a sound's energy from 110 Hz to 1760 Hz in pitch classes, C being 0."""
    samples = sound.samples.numpy()
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / sound.rate)
    kept = (hertz > 110) & (hertz < 1760)
    classes = np.round(12 * np.log2(hertz[kept] / 261.6256)).astype(int) % 12
    energies = np.bincount(classes, power[kept], 12)
    return float(energies[list(tones)].sum() / energies.sum())


@music
@pytest.mark.parametrize("instrument", ["piano", "church organ"])
def test_tunes_are_in_their_keys(client, instrument):
    c_only, f_sharp_only = (0, 2, 4, 7, 9), (1, 3, 6, 8, 10)  # of the two scales
    made = [
        heard(client, "text_to_music", SEEDS[0], f"a {instrument} tune in {key}, 100 bpm")
        for key in ("C major", "F sharp major")
    ]
    assert share(made[0], c_only) > 0.6 and share(made[1], f_sharp_only) > 0.6
