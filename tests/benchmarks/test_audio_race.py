"""The comparison of networks of audio: equal clips for all, captions joined, races that go on, paired tables."""

import json

import numpy as np
import pytest
import torch

from lumina_next.benchmarks.audio_race import data, race, run
from lumina_next.benchmarks.audio_race.variants import BOTH, FRAMES, NEXT, VARIANTS, Joined
from lumina_next.nextdit.models.audio import AudioDiT
from lumina_next.tests.nextdit.conftest import randomise
from lumina_next.training.data.sounds.captions import pair_is_held_out
from lumina_next.training.data.sounds.prepare import Recordings, file_of
from lumina_next.training.data.sounds.sounds import SOUNDS


class Letters:
    """Stands in for a text encoder: a token a letter, whose features are its code's."""

    width = 8

    def __call__(self, prompts):
        (prompt,) = prompts
        codes = torch.tensor([0, *prompt.encode()]).float().unsqueeze(1)
        features = torch.cat([(codes * (n + 1) / 40).sin() for n in range(self.width)], 1)
        return torch.cat([features, torch.full((2, self.width), 9.0)])[None], torch.tensor(
            [[1] * len(codes) + [0] * 2]
        )  # two tokens of padding


@pytest.fixture
def recordings():
    """16 recordings of each sound: its number in every byte, plus one in those that are held out."""
    spectra = np.arange(len(SOUNDS), dtype=np.uint8)[:, None, None, None] + 100
    spectra = np.tile(spectra, (1, 16, 80, 12))
    spectra[:, :: data.EVERY] += 1
    return Recordings(spectra, tuple(sound.name for sound in SOUNDS))


def test_recordings_are_divided(recordings):
    learned, held = data.divided(recordings)
    assert learned.counts[0] == 14 and held.counts[0] == 2
    assert (learned.spectra[3] == 103).all() and (held.spectra[3] == 104).all()


def test_clips_are_decided_by_their_number_and_training_never_has_held_out_orders(recordings):
    clips = data.Clips(recordings)
    spectra, said = clips.draw(6, "0 1")
    again, same = clips.draw(6, "0 1")
    assert spectra.shape == (6, 80, FRAMES) and torch.equal(spectra, again) and said == same
    assert said != clips.draw(6, "0 2")[1]
    assert [len(each.order) for each in said] == [1, 2] * 3
    many = {held: [each.order for each in data.drawn(600, data.Random(0), held)] for held in (False, True)}
    assert not any(pair_is_held_out(order) for order in many[False])
    assert any(pair_is_held_out(order) for order in many[True])


def test_captions_say_the_order_and_its_contrary():
    pair = data.Captioned.of((data.SOUNDS[0], data.SOUNDS[1]), 0.0)
    assert pair.caption == "a piano, then a music box" and pair.structured == "<piano& start>@<music box& end>"
    assert pair.turned(0.99).caption == "a piano after a music box"
    assert data.Captioned.of((data.SOUNDS[0],), 0.99).structured == "<piano& all>"


def test_all_variants_learn_from_the_same_clips_and_read_their_own_captions(recordings):
    clips = data.Clips(recordings)
    found = {name: data.RaceBatches(clips, each, 8, 0).draw(3, 0.5) for name, each in VARIANTS.items()}
    assert all(torch.equal(batch.spectra, found[NEXT].spectra) for batch in found.values())
    assert found[NEXT].prompts == found["Flag-DiT"].prompts
    pairs = zip(found[NEXT].prompts, found["structured caption"].prompts, strict=True)
    assert (
        found["both captions"].prompts == [a and a + BOTH + b for a, b in pairs] and "" not in found[NEXT].prompts[:2]
    )


def test_captions_of_a_prompt_stand_one_behind_the_other_without_padding():
    encoder = Joined(Letters())
    features, mask = encoder(["ab" + BOTH + "c", "d"])
    assert features.shape == (2, 5, 8) and mask.sum(1).tolist() == [5, 2]
    torch.testing.assert_close(features[0], torch.cat([Letters()(["ab"])[0][0, :3], Letters()(["c"])[0][0, :2]]))
    assert encoder([""])[1].tolist() == [[1]]


def test_errors_are_of_each_clip_and_of_its_caption(recordings):
    torch.manual_seed(0)
    model, encoder = randomise(AudioDiT(VARIANTS[NEXT].config(8))).eval(), Joined(Letters())
    spectra, said = data.Clips(recordings).draw(3, "a")
    prompts = [each.caption for each in said]
    whole = race.errors(model, spectra, prompts, encoder)
    torch.testing.assert_close(whole, race.errors(model, spectra, prompts, encoder, batch=2), atol=1e-4, rtol=1e-4)
    other = race.errors(model, spectra, [prompts[0], "else", prompts[2]], encoder)
    assert (whole != other).tolist() == [False, True, False]


def test_one_command_races_all_goes_on_and_writes_paired_tables(tmp_path, monkeypatch, recordings):
    np.savez(file_of(tmp_path), spectra=recordings.spectra, names=np.array(recordings.names))
    monkeypatch.setattr(run, "load_text_encoder", lambda folder, dtype: Letters())
    given = ["--cache", tmp_path, "--results", tmp_path, "--train-steps", 3, "--batch", 2, "--held", 4]
    run.main([str(word) for word in given])
    found = json.loads((tmp_path / "audio_race.json").read_text())["sections"]
    assert [row["network"] for row in found[run.END]] == list(VARIANTS)
    assert [row["steps"] for row in found[run.WAY]] == [1, 2, 3] * len(VARIANTS)
    flag = next(row for row in found[run.END] if row["network"] == "Flag-DiT")
    apart = flag["− Next-DiT's, two sounds"]
    assert apart["low"] <= apart["value"] <= apart["high"] and apart["n"] == 2
    files = sorted((tmp_path / "audio_race").glob("*.json"))
    assert len(files) == 2 * len(VARIANTS)
    mine, theirs = (
        json.loads((tmp_path / "audio_race" / f"{name}-1.json").read_text()) for name in ("flag-dit", "next-dit")
    )
    second = np.mean(mine["two"][-1]) - np.mean(theirs["two"][-1])
    assert flag["the same for each seed"].endswith(f"{second:+.4f}")
    kept = tmp_path / "audio_race" / "both-captions-0.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"parameters": 7}))
    run.main([str(word) for word in given])
    again = json.loads((tmp_path / "audio_race.json").read_text())["sections"][run.END]
    assert [row["parameters"] == 7 for row in again] == [False, False, False, True]
    before = (tmp_path / "audio_race.md").read_text()
    run.main([*(str(word) for word in given), "--redraw"])
    assert (tmp_path / "audio_race.md").read_text() == before
