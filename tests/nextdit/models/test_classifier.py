"""The classifier: mixed sizes in a batch, RoPE past the training size, sandwich norms or not, files that say what."""

from dataclasses import replace

import pytest
import torch

from lumina_next.nextdit import load_model, save_model
from lumina_next.nextdit.checkpoint import describe
from lumina_next.nextdit.models.classifier import UNTIMED, ClassifierConfig
from lumina_next.tests.support.untrained_classifier import CONFIG, LABELS, untrained

SIZES = ((64, 64), (64, 64), (40, 120), (128, 32), (8, 8), (77, 130), (160, 160))


def pictures(sizes=SIZES) -> list[torch.Tensor]:
    """Pictures of coloured squares: noise would look the same everywhere."""
    generator = torch.Generator().manual_seed(0)
    squares = [torch.rand(1, 3, -(-h // 12), -(-w // 12), generator=generator) * 2 - 1 for h, w in sizes]
    return [torch.nn.functional.interpolate(x, size)[0] for x, size in zip(squares, sizes, strict=True)]


@pytest.mark.parametrize("method", UNTIMED)
@torch.inference_mode()
def test_a_batch_of_mixed_sizes_equals_single_pictures(method):
    model, given = untrained(), pictures()
    together = model(given, method=method)
    alone = torch.cat([model(picture[None], method=method) for picture in given])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.shape == (len(SIZES), 4) and together.std(dim=0).min() > 1e-3
    features = torch.cat([model.features([picture], method=method) for picture in given])
    torch.testing.assert_close(model.features(given, method=method), features, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_what_stands_in_pads_does_not_count():
    model, given = untrained(), pictures(((64, 64), (16, 16)))
    before = model.features(given)
    model.pad_token.data.fill_(50.0)
    torch.testing.assert_close(model.features(given), before, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_order_in_the_picture_counts():
    model, (picture,) = untrained(), pictures(((64, 96),))
    moved = picture.roll(24, dims=-1)
    assert not torch.allclose(model(picture[None]), model(moved[None]), atol=1e-3)


@torch.inference_mode()
def test_scaling_changes_only_what_is_larger_than_in_training():
    model, (small, wide) = untrained(), pictures(((64, 48), (64, 128)))
    plain = model([small], method="extrapolation"), model([wide], method="extrapolation")
    for method in UNTIMED[1:]:
        torch.testing.assert_close(model([small], method=method), plain[0])
        assert not torch.allclose(model([wide], method=method), plain[1], atol=1e-4), method
    torch.testing.assert_close(model([wide]), model([wide], method=CONFIG.scaling))


@torch.inference_mode()
def test_interpolated_positions_lie_within_those_of_training():
    model = untrained()
    small, large = (model.rotary([(n, n)], n * n, "interpolation", torch.device("cpu")) for n in (8, 16))
    every_other = large.unflatten(2, (16, 16))[:, :, ::2, ::2].flatten(2, 3)
    torch.testing.assert_close(every_other, small)


@torch.inference_mode()
def test_gates_of_zero_shut_their_branch():
    model, given = untrained(), pictures(((64, 64),))
    for layer in model.layers:
        layer.attention_gate.data.zero_()
        layer.ffn_gate.data.zero_()
    tokens = model.tokens(given)[1]
    torch.testing.assert_close(model.features(given), model.norm(tokens).mean(dim=1))


@torch.inference_mode()
def test_pictures_beyond_the_bounds_are_made_smaller():
    model = untrained()
    assert model.grid(2000, 2000) == (20, 20) and model.tokens(pictures(((400, 400),)))[1].shape[1] == 400
    model.config = replace(CONFIG, min_patches=64)
    assert model.grid(8, 8) == model.grid(40, 40) == (8, 8)
    long = model.grid(8, 800)
    assert long[1] <= 4 * long[0]


def test_it_learns_in_mixed_batches():
    model, given = untrained().train(), pictures(((64, 64), (32, 96), (96, 96)))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = torch.nn.functional.cross_entropy(model(given), torch.arange(3))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.grad is not None for name, p in model.named_parameters() if name != "pad_token")


@pytest.mark.parametrize(
    "config",
    (
        CONFIG,
        replace(CONFIG, sandwich=False, scaling="ntk_aware", max_ratio=2.5, train_tokens=14, min_patches=9),
        replace(CONFIG, labels={"de": ("Hund", "Katze")}, patch_size=4, n_heads=4),
    ),
)
def test_a_file_tells_what_it_is(tmp_path, config):
    model, file = untrained(config), tmp_path / "classifier.safetensors"
    save_model(model, file)
    assert describe(file).family.name == "classifier"
    again = load_model(file, family="classifier")
    assert again.config == config
    with torch.inference_mode():
        torch.testing.assert_close(again(pictures()), model(pictures()))


def test_files_that_say_nonsense_are_refused(tmp_path):
    file = tmp_path / "classifier.safetensors"
    for told, message in (
        ({"labels": "dog, cat"}, "labels or sizes that cannot be read"),
        ({"labels": '{"en": ["dog"]}'}, "not 4 labels in every language"),
        ({"labels": "[3]"}, "cannot be read"),
        ({"max_patches": "many"}, "cannot be read"),
        ({"max_patches": "0"}, "max_patches must be a positive integer, got 0"),
        ({"train_tokens": "6"}, "train_tokens must be at least 7"),
        ({"max_ratio": "0.2"}, "max_ratio must be a number from 1 on, got 0.2"),
        ({"n_heads": "3"}, "dim 32 is not divisible by 4 · n_heads"),
        ({"rope_method": "odd"}, "unknown RoPE method 'odd'"),
    ):
        save_model(untrained(), file, told)
        with pytest.raises(ValueError, match=f"classifier.safetensors: .*{message}"):
            load_model(file)


def test_labels_without_names_are_numbers(tmp_path):
    from safetensors.torch import load_file, save_file

    save_model(untrained(), tmp_path / "a.safetensors")
    save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "bare.safetensors")
    config = load_model(tmp_path / "bare.safetensors").config
    assert config.names() == ("0", "1", "2", "3") and config.languages == ("en",)


def test_wrong_input_is_an_error_that_helps():
    model = untrained()
    for wrong in (torch.zeros(1, 4, 8, 8), [torch.zeros(8, 8)], torch.zeros(3, 8, 8)):
        with pytest.raises(ValueError, match=r"expected pictures of \(3, height, width\), got"):
            model(wrong)
    with pytest.raises(ValueError, match="no picture to classify"):
        model([])
    with pytest.raises(ValueError, match="the picture is empty"):
        model(torch.zeros(1, 3, 0, 8))
    with pytest.raises(ValueError, match="unknown RoPE method 'odd'"):
        model(torch.zeros(1, 3, 80, 80), method="odd")
    with pytest.raises(ValueError, match="no labels in 'fr'; this model has en, ja, emoji"):
        CONFIG.names("fr")
    assert CONFIG.names("ja") == LABELS["ja"] and CONFIG.names() == LABELS["en"]
    with pytest.raises(ValueError, match="the same number in each"):
        ClassifierConfig(32, 1, 2, {"en": ("a", "b"), "de": ("a",)})
    with pytest.raises(ValueError, match="labels in at least one language"):
        ClassifierConfig(32, 1, 2, {})
