import random

import numpy as np
import pytest
import torch
from PIL import Image

from lumina_next.nextdit import MultiViewNextDiT, load_model
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.pipelines.sampling import Sampling
from lumina_next.pipelines.views import sample_views
from lumina_next.tests.support import untrained_model
from lumina_next.training.data.objects.view_batches import Objects, ViewBatches, to_size, view_buckets
from lumina_next.training.loop.trainer import encode, train
from lumina_next.training.tasks import multiview

SMALL = [
    "--tokens",
    "640",
    "--no-compile",
    "--warmup",
    "5",
    "--rate",
    "3e-3",
    "--device",
    "cpu",
    "--small",
    "0.25",
    "0.5",
]


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """A text-to-image checkpoint to start from."""
    file = tmp_path_factory.mktemp("start") / "image.safetensors"
    untrained_model.write(file)
    return file


def options(cache, encoder, model, run, *more):
    given = ["--cache", str(cache), "--text-encoder", str(encoder), "--model", str(model), "--run", str(run)]
    return multiview.parse([*given, *SMALL, *more])


def trained(chosen):
    trainer = multiview.make_trainer(chosen)
    return trainer, train(trainer, chosen.run, chosen.out)


@pytest.mark.parametrize("ablation", [(), ("--no-azimuth", "--no-cross-view")])
def test_thirty_steps_make_the_loss_fall_and_leave_a_checkpoint(
    views_cache, text_encoder_folder, start, tmp_path, ablation
):
    chosen = options(views_cache, text_encoder_folder, start, tmp_path, "--steps", "30", *ablation)
    _, losses = trained(chosen)
    assert len(losses) == 30
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    model = load_model(tmp_path / "model.safetensors")
    assert isinstance(model, MultiViewNextDiT) and model.x_embedder.weight.dtype == torch.bfloat16
    with Image.open(tmp_path / "samples-000030.png") as picture:
        assert picture.size == (9 * 64, 2 * multiview.SHOWN * 64)


def test_a_run_in_two_pieces_gives_the_weights_of_a_run_in_one(views_cache, text_encoder_folder, start, tmp_path):
    more = ("--steps", "4", "--no-samples", "--rope-axes", "2")
    whole, _ = trained(options(views_cache, text_encoder_folder, start, tmp_path / "whole", *more))
    first = multiview.make_trainer(options(views_cache, text_encoder_folder, start, tmp_path / "pieces", *more))
    for _ in range(2):
        first.step(first.batches.draw(first.run.step, first.spent))
    first.run.save(tmp_path / "pieces" / "state.pt")
    second, losses = trained(options(views_cache, text_encoder_folder, start, tmp_path / "pieces", *more))
    assert len(losses) == 2
    for a, b in zip(whole.run.model.parameters(), second.run.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_without_azimuths_the_model_sees_zeros_and_without_cross_view_attention_no_other_view(
    views_cache, text_encoder_folder, start, tmp_path
):
    more = ("--no-azimuth", "--no-cross-view", "--no-samples")
    trainer = multiview.make_trainer(options(views_cache, text_encoder_folder, start, tmp_path, *more))
    task, model = trainer.task, trainer.run.model
    assert not task.azimuths(torch.full((2, 3), 90.0)).any()
    x, t, text = torch.randn(1, 3, 3, 32, 32), torch.tensor([0.3]), torch.randn(1, 4, 64)
    changed = torch.cat([x[:, :2], torch.randn(1, 1, 3, 32, 32)], dim=1)
    azimuths = torch.zeros(1, 3)
    for alone in (True, False):
        task.options.cross_view = not alone
        attend, cross = task.attention(3)
        with torch.no_grad():
            a, b = (model(v, t, azimuths, text, attend=attend, cross=cross)[:, :2] for v in (x, changed))
        assert torch.allclose(a, b, atol=1e-6) == alone


def test_batches_have_relative_azimuths_and_their_pictures(views_cache):
    objects = Objects(views_cache)
    batches = ViewBatches(objects, 2000, 4, 0, view_buckets(0.25, 0.5))
    seen = set()
    for step in range(60):
        spent = (step + 0.5) / 60
        batch = batches.draw(step, spent)
        sets, count, _, size, _ = batch.views.shape
        seen.add((count, size, batch.images is not None))
        assert size == (16 if spent < 0.25 else 32 if spent < 0.5 else 64)
        assert batch.centre == pytest.approx({16: -0.6, 32: -1.0, 64: -1.4}[size])
        frames = count + (batch.images is not None)
        assert abs(sets * frames * (size // 4) ** 2 - 2000) <= frames * (size // 4) ** 2
        assert batch.azimuths.shape == (sets, count) and (0 <= batch.azimuths).all() and (batch.azimuths < 360).all()
        assert batch.positions[0].tolist() == [i * 64 / size for i in range(size // 4)]
        if batch.images is None:
            assert not batch.azimuths[:, 0].any()
        again = batches.draw(step, spent)
        assert torch.equal(batch.views, again.views) and batch.prompts == again.prompts
    assert len({shape[0] for shape in seen}) >= 4 and {shape[2] for shape in seen} == {True, False}
    views, relative, image, _ = batches.item(8, True, random.Random(1))
    number = next(n for n in range(6) if any((image == i).all() for i in objects.images[n]))
    reference = next(j for j in range(4) if (objects.images[number, j] == image).all())
    for view, angle in zip(views, relative, strict=True):
        found = [i for i in range(8) if (objects.views[number, i] == view).all()]
        expected = (objects.azimuths[number] - objects.azimuths[number, reference]) % 360
        assert np.isclose(expected[found], angle).any()


def test_small_pictures_are_averages(views_cache):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    small, whole = to_size(pictures, 32), to_size(pictures, 64)
    assert small.shape == (2, 3, 3, 32, 32) and whole.shape == (2, 3, 3, 64, 64)
    torch.testing.assert_close(small, whole.unflatten(-1, (32, 2)).unflatten(-3, (32, 2)).mean((-1, -3)))


def test_missing_and_unequal_files_are_named(views_cache, tmp_path):
    with pytest.raises(FileNotFoundError, match="no views-64.npy: render the objects first"):
        Objects(tmp_path)
    for name in ("views-64.npy", "images-64.npy", "objects.json"):
        (tmp_path / name).write_bytes((views_cache / name).read_bytes())
    np.save(tmp_path / "azimuths.npy", np.zeros((5, 8), np.float32))
    with pytest.raises(ValueError, match=r"are of \[5, 6\] objects"):
        Objects(tmp_path)


def test_cached_texts_equal_the_encoders(text_encoder_folder):
    encoder = load_text_encoder(text_encoder_folder, dtype=torch.float32)
    prompts = ["a red ball", "", "a red ball"]
    texts = multiview.CachedTexts(encoder, torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16):
        features, mask = texts(prompts)
    expected, expected_mask = encode(encoder, prompts, torch.device("cpu"))
    assert torch.equal(mask, expected_mask) and len(texts.known) == 2
    torch.testing.assert_close(features[mask], expected[mask])


@torch.no_grad()
def test_guidance_on_text_and_image_is_the_sum_of_both(text_encoder_folder, start):
    model = MultiViewNextDiT.from_image_model(load_model(start, dtype=torch.float32))
    encoder = load_text_encoder(text_encoder_folder, dtype=torch.float32)
    x, image, azimuths = torch.randn(1, 2, 3, 16, 16), torch.randn(1, 3, 16, 16), torch.tensor([[0.0, 90.0]])

    def drawn(prompt, image, text_guidance=1.0, image_guidance=1.0):
        sampling = Sampling(1, "uniform", cfg=text_guidance)
        return sample_views(model, encoder, [prompt], azimuths, x, sampling, image=image, image_cfg=image_guidance) - x

    empty, of_image, of_both = drawn("", None), drawn("", image), drawn("a red ball", image)
    both = drawn("a red ball", image, text_guidance=3.0, image_guidance=2.0)
    torch.testing.assert_close(both, empty + 2 * (of_image - empty) + 3 * (of_both - of_image), rtol=0, atol=1e-4)
    torch.testing.assert_close(drawn("", image, image_guidance=2.0), empty + 2 * (of_image - empty), rtol=0, atol=1e-4)
    text = drawn("a red ball", None)
    torch.testing.assert_close(
        drawn("a red ball", None, text_guidance=3.0), empty + 3 * (text - empty), rtol=0, atol=1e-4
    )


def test_only_pixel_models_are_trained(views_cache, text_encoder_folder, start, tmp_path, monkeypatch):
    monkeypatch.setattr(multiview, "load_model", lambda *a, **k: untrained_latent_model())
    with pytest.raises(ValueError, match="takes 4 channels, expected 3"):
        multiview.make_trainer(options(views_cache, text_encoder_folder, start, tmp_path))


def untrained_latent_model():
    from lumina_next.nextdit import NextDiT, NextDiTConfig

    return NextDiT(NextDiTConfig(dim=32, n_layers=1, n_heads=2, n_kv_heads=1, text_dim=64))


def test_samples_are_drawn_when_more_than_the_planned_minutes_are_over(
    views_cache, text_encoder_folder, start, tmp_path
):
    trainer = multiview.make_trainer(options(views_cache, text_encoder_folder, start, tmp_path, "--size", "32"))
    trainer.task.show(trainer.run.averaged(), tmp_path / "late.png", 1.01)
    with Image.open(tmp_path / "late.png") as picture:
        assert picture.width == 9 * 32  # the image and eight views
