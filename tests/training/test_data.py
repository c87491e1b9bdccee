import json
import random
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.training.data.batches import BUCKETS, BUCKETS_OF, Bucket, EmojiBatches, compose
from lumina_next.training.data.emoji import pack, sources
from lumina_next.training.data.emoji.captions import Caption, Captions
from lumina_next.training.data.emoji.concepts import BACKGROUND, COLOURS, EMOJI, LANGUAGES, background_caption
from lumina_next.training.data.emoji.pictures import WHITE, canvas, on_background, to_pixels, to_tensor
from lumina_next.training.data.emoji.prepare import concept_table, corpus, is_held_out
from lumina_next.training.data.emoji.publish import write_sheets
from lumina_next.training.data.folder import FolderBatches
from lumina_next.training.data.text.texts import Texts


def table(cache):
    return json.loads((cache / "concepts.json").read_text("utf-8"))


def test_concepts_are_distinct_and_templates_have_a_word_for_each_colour():
    assert len(set(EMOJI)) == len(EMOJI) == 64
    for language, (_, words) in BACKGROUND.items():
        assert language in LANGUAGES and len(words.split()) == len(COLOURS), language
    assert background_caption("en", "dog face", 0) == "dog face on a red background"
    assert background_caption("vi", "chó", 2) == "chó trên nền xanh lá"


def test_about_a_tenth_of_the_pairs_is_held_out_and_never_english():
    held = [(e, x) for e in EMOJI for x in LANGUAGES if is_held_out(e, x)]
    assert 0.07 < len(held) / (len(EMOJI) * len(LANGUAGES)) < 0.13
    assert not any(language == "en" for _, language in held)


def test_the_corpus_has_no_held_out_concept_in_its_language():
    emoji = EMOJI[:8]
    names = {e: {x: [f"name of {e} in {x}", "thing"] for x in LANGUAGES} for e in emoji}
    made = concept_table(names, emoji)
    (e, language), *_ = made["held_out"]
    rows = {(row[0], row[1]): row[2] for row in corpus(names, made)}
    assert (e, language) not in rows
    assert rows[e, "en"] == names[e]["en"]


def test_the_text_encoder_sees_the_concepts_in_languages_that_the_demo_does_not_claim(cache):
    texts = Texts(table(cache), json.loads((cache / "corpus.json").read_text("utf-8")))
    chance = random.Random(0)
    drawn = [texts.draw(chance) for _ in range(300)]
    dutch = [(caption, meant, own) for caption, meant, own in drawn if caption.text.endswith(" nl")]
    assert dutch and all(meant == set(caption.concepts) and not own for caption, meant, own in dutch)


def test_captions_never_show_held_out_pairs_and_are_the_same_for_a_seed(cache):
    captions = Captions(table(cache))

    def texts(seed):
        chance = random.Random(seed)
        return [captions.draw(kind, chance) for kind in ("single", "background", "pair") for _ in range(300)]

    drawn = texts(1)
    assert drawn == texts(1) != texts(2)
    assert not any("red ball fr" in caption.text for caption in drawn)
    assert {len(caption.concepts) for caption in drawn} == {1, 2}
    assert any(caption.text == "🔴🔵" and caption.concepts == (0, 1) for caption in drawn)
    with pytest.raises(ValueError, match="got 'triple'"):
        captions.draw("triple", random.Random(0))


def test_batches_depend_on_the_step_alone_and_come_in_several_sizes(cache):
    batches = EmojiBatches(cache, tokens=1024, patch=4)
    a, b = batches.draw(7, 1.0), EmojiBatches(cache, tokens=1024, patch=4).draw(7, 1.0)
    assert a.prompts == b.prompts and a.pictures.equal(b.pictures)
    drawn = [batches.draw(step, 1.0) for step in range(60)]
    assert {tuple(batch.pictures.shape[2:]) for batch in drawn} == {(32, 64), (64, 64), (64, 128), (96, 96), (128, 128)}
    assert all(abs(batch.pictures[0, 0].numel() * len(batch.pictures) / 16 - 1024) <= 288 for batch in drawn)
    large = next(batch for batch in drawn if batch.pictures.shape[-1] == 96)
    assert all(torch.allclose(p, torch.arange(24) / 1.5) for p in large.positions)
    early = [batches.draw(step, 0.0) for step in range(60)]
    assert {tuple(batch.pictures.shape[2:]) for batch in early} == {(32, 32), (32, 64)}
    assert all(batch.positions[0].tolist() == list(range(0, 16, 2)) for batch in early)


def test_pictures_go_to_tensors_and_back_and_lie_on_their_background():
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[1, 1] = (10, 20, 30, 255)
    flat = on_background(picture, (200, 100, 50))
    assert tuple(flat[1, 1]) == (10, 20, 30) and tuple(flat[0, 0]) == (200, 100, 50)
    assert (to_pixels(to_tensor([flat]))[0] == flat).all()
    wide = canvas([flat], 4, 8)
    assert (wide[:, 2:6] == flat).all() and (wide[:, :2] == 255).all()


def test_the_readers_take_whole_pictures_and_leave_flags_and_skin_tones(tmp_path):
    icons = {name: {"body": "<path/>"} for name in ("dog", "flag-france", "hand-light")}
    (tmp_path / "icons.json").write_text(json.dumps({"width": 128, "height": 128, "icons": icons}))
    codes = {"1f436": "dog", "1f1eb-1f1f7": "flag-france", "270b-1f3fb": "hand-light", "1f431": "missing"}
    (tmp_path / "chars.json").write_text(json.dumps(codes))
    found = sources.pictures(tmp_path)
    assert list(found) == ["🐶"] and found["🐶"].startswith("<svg") and found["🐶"].endswith("</svg>")


def test_a_failed_download_says_which_package(tmp_path, monkeypatch):
    monkeypatch.setattr(sources.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="npm is needed to download @iconify-json/noto"):
        sources.fetch("pictures", tmp_path)
    monkeypatch.setattr(sources.shutil, "which", lambda name: "npm")
    failed = subprocess.CompletedProcess([], 1, "", "no network")
    monkeypatch.setattr(sources.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(RuntimeError, match="no network"):
        sources.fetch("pictures", tmp_path)


def test_a_folder_of_captioned_images_gives_batches_of_the_nearest_shape(tmp_path):
    for name, size in (("square", (50, 48)), ("wide", (90, 40))):
        Image.new("RGB", size, (255, 0, 0)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f"a {name} picture\n")
    batches = FolderBatches(tmp_path, ((32, 32), (32, 64)), tokens=128, patch=4)
    drawn = [batches.draw(step, 0.5) for step in range(20)]
    assert {tuple(batch.pictures.shape) for batch in drawn} == {(2, 3, 32, 32), (1, 3, 32, 64)}
    assert {p for batch in drawn for p in batch.prompts} <= {"a square picture", "a wide picture", ""}
    assert drawn[0].pictures[:, 0].min() > 0.99


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_captions_are_read_as_any_editor_saves_them(tmp_path, mark):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes(mark + "a\u2028fox\r\non snow\x85\r\n".encode())
    batches = FolderBatches(tmp_path, ((32, 32),), tokens=64, patch=4)
    assert batches.sizes[32, 32][0][1] == "a\u2028fox\non snow\x85"


def test_a_caption_in_another_encoding_is_named(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_bytes("a fox".encode("utf-16"))
    with pytest.raises(ValueError, match="a.txt is in UTF-16, expected text in UTF-8: .*save it with"):
        FolderBatches(tmp_path, ((32, 32),), 64, 4)


def test_a_folder_without_images_or_captions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no image"):
        FolderBatches(tmp_path, ((32, 32),), 64, 4)
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    with pytest.raises(ValueError, match="no .txt caption .* bare.png"):
        FolderBatches(tmp_path, ((32, 32),), 64, 4)


def test_published_sheets_are_read_back_by_the_benchmark(tmp_path):
    drawn = {size: np.random.default_rng(size).integers(0, 256, (11, size, size, 4), np.uint8) for size in (64, 128)}
    write_sheets(drawn, tmp_path / "pictures")
    emoji = [str(i) for i in range(9)]
    (tmp_path / "concepts.json").write_text(json.dumps({"emoji": emoji, "others": ["x", "y"], "held_out": []}))
    truth = Truth(tmp_path)
    assert truth.count == 11 and len(truth.emoji) == 9
    for size, pictures in drawn.items():
        assert (truth.rgba(size) == pictures).all()


def test_a_word_means_every_emoji_that_has_it_and_partly_those_like_them(cache):
    corpus = [
        ["🚀", "en", ["rocket", "space"]],
        ["🧑", "en", ["astronaut", "rocket", "space"]],
        ["🧑", "es", ["astronauta", "cohete"]],
        ["🍇", "en", ["grapes", "fruit"]],
    ]
    empty = {"emoji": [], "words": {}, "held_out": [], "languages": ["en", "es"]}
    texts = Texts(empty, corpus)
    rocket, astronaut, grapes = (texts.number[e] for e in "🚀🧑🍇")
    assert texts.meanings["en", "rocket"] == {rocket, astronaut} and texts.meanings["es", "cohete"] == {astronaut}
    alike = texts.likeness(neighbours=2)
    assert alike[astronaut, rocket] == 1 and alike[rocket, astronaut] == 1 and alike[grapes].sum() == 0
    (target,) = texts.targets([{astronaut}], alike, share=0.25)
    assert target[astronaut] == 0.75 and target[rocket] == 0.25 and len(target) == 4


def test_packed_data_train_as_the_folder_does(cache, tmp_path):
    file = tmp_path / "packed.npz"
    pack.main(["--cache", str(cache), "--out", str(file), "--sizes", "32", "64"])
    buckets = tuple(bucket for bucket in BUCKETS if bucket.picture <= 64)
    for step in range(8):
        a, b = (EmojiBatches(source, 1024, 4, buckets=buckets).draw(step, 0.5) for source in (cache, file))
        assert a.prompts == b.prompts and a.pictures.equal(b.pictures)
    with pytest.raises(ValueError, match="has pictures of 32, 64 px, not of 96, 128: pack it with --sizes"):
        EmojiBatches(file, 1024, 4)


def test_the_demo_is_packed_from_its_own_sheets(tmp_path):
    file = tmp_path / "demo.npz"
    pack.main(["--out", str(file), "--sizes", "32", "64"])
    table, pictures = pack.read(file)
    assert len(table["emoji"]) == 64 and {size: drawn.shape for size, drawn in pictures.items()} == {
        32: (64, 32, 32, 4),
        64: (64, 64, 64, 4),
    }
    with pytest.raises(SystemExit):
        pack.main(["--out", str(tmp_path / "demo.zip")])


def test_batches_are_put_together_as_one_picture_is():
    chance = np.random.default_rng(0)
    drawn = chance.integers(0, 256, (3, 8, 8, 4), dtype=np.uint8)
    captions = [Caption("", (0, 2)), Caption("", (1,), 3), Caption("", (2,))]
    found = compose(torch.from_numpy(drawn), captions, Bucket(12, 16, 8, 1.0))
    backgrounds = [WHITE, list(COLOURS.values())[3], WHITE]
    for one, caption, colour in zip(found, captions, backgrounds, strict=True):
        true = canvas([on_background(drawn[i], colour) for i in caption.concepts], 12, 16)
        assert (to_pixels(one[None])[0] == true).all()


def test_a_larger_demo_has_plain_positions_at_its_own_size():
    assert {b.picture for b in BUCKETS_OF[128]} == {32, 64, 128}
    for bucket in BUCKETS_OF[128]:
        rows, columns = bucket.positions(2, 128)
        assert rows.diff().unique().tolist() == [128 / bucket.picture] and len(columns) == bucket.width // 2
