"""Next-DiT for points: any number, any order, labels or text, and files that say what they are."""

from dataclasses import replace

import pytest
import torch

from lumina_next.nextdit import load_model, save_model
from lumina_next.nextdit.checkpoint import describe
from lumina_next.nextdit.layers.point_features import METHODS, frequencies
from lumina_next.nextdit.models.points import PointConfig, PointNextDiT, logit_scale

SMALL = PointConfig(dim=32, n_layers=2, n_heads=2, n_kv_heads=1, text_dim=12, ffn_dim=48, time_dim=16, features=4)
LABELS = replace(SMALL, labels=("plane", "chair", "table"), scale=4.0, train_points=16)


def network(config: PointConfig) -> PointNextDiT:
    torch.manual_seed(0)
    model = PointNextDiT(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def inputs(points: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(points)
    x = torch.randn(batch, 3, points, generator=generator)
    return x, torch.linspace(0.1, 0.9, batch), torch.randn(batch, 5, 12, generator=generator)


@pytest.mark.parametrize("proportional", (False, True))
def test_permuting_the_points_permutes_the_velocity(proportional):
    model, (x, t, text) = network(SMALL), inputs(300)
    order = torch.randperm(300)
    with torch.no_grad():
        straight, permuted = (model(cloud, t, text, proportional=proportional) for cloud in (x, x[:, :, order]))
    assert torch.allclose(straight[:, :, order], permuted, atol=1e-5)


@pytest.mark.parametrize("points", (1, 2, 255, 1000))
def test_any_number_of_points(points):
    model, (x, t, text) = network(SMALL), inputs(points)
    with torch.no_grad():
        assert model(x, t, text).shape == x.shape


def test_clouds_of_several_sizes_share_a_batch():
    model = network(SMALL)
    (small, t, text), (large, _, _) = inputs(7), inputs(11)
    padded = torch.cat([torch.cat([small[:1], torch.full((1, 3, 4), 9.0)], dim=2), large[1:]])
    mask = torch.ones(2, 11)
    mask[0, 7:] = 0
    with torch.no_grad():
        together = model(padded, t, text, mask=mask)
        alone = model(small[:1], t[:1], text[:1])[0], model(large[1:], t[1:], text[1:])[0]
    assert torch.allclose(together[0, :, :7], alone[0], atol=1e-5) and torch.allclose(together[1], alone[1], atol=1e-5)
    assert not together[0, :, 7:].any()


def test_text_time_and_label_change_the_velocity():
    model, (x, t, text) = network(SMALL), inputs(20)
    labels = network(LABELS)
    shares = torch.eye(3)[:2, None]
    with torch.no_grad():
        assert not torch.allclose(model(x, t, text), model(x, t, text + 1))
        assert not torch.allclose(model(x, t, text), model(x, t / 2, text))
        assert torch.allclose(
            model(x, t, text[:, :3]), model(x, t, text, torch.tensor([[1, 1, 1, 0, 0]] * 2)), atol=1e-5
        )
        assert not torch.allclose(labels(x, t, shares), labels(x, t, shares.roll(1, -1)))


def test_mixed_labels_lie_between_and_no_label_is_the_last():
    model = network(LABELS)
    shares = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 0]])[:, None]
    first, second, mixed, none = model.labelled(shares)
    assert torch.allclose(mixed, (first + second) / 2, atol=1e-6)
    assert torch.allclose(none[0], model.label_embedder.weight[:, 3])


def test_points_beyond_the_rim_go_where_those_on_it_go():
    model, (x, t, text) = network(SMALL), inputs(30)
    x[:, :, 0] *= 3.0 / x[:, :, 0].norm(dim=1, keepdim=True)
    t = torch.zeros(2)
    far = x.clone()
    far[:, :, 0] *= 3  # three times as far as the rim is nearly
    on_rim = x.clone()
    on_rim[:, :, 0] *= 3.5 / 3.0
    with torch.no_grad():
        ends = [cloud + model(cloud, t, text) for cloud in (far, on_rim)]
    torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-4)


def test_attention_is_sharpened_only_above_the_number_of_training():
    assert logit_scale(256, 256) == logit_scale(16, 256) == logit_scale(1, 256) == 1.0
    assert logit_scale(256**2, 256) == pytest.approx(2**0.5)
    model, (x, t, _) = network(LABELS), inputs(16)
    shares = torch.eye(3)[:2, None]
    with torch.no_grad():
        assert torch.equal(model(x, t, shares), model(x, t, shares, proportional=True))
        more = inputs(17)[0]
        assert not torch.equal(model(more, t, shares), model(more, t, shares, proportional=True))


def test_frequencies_grow_with_time():
    t = torch.tensor([0.0, 0.5, 1.0])
    plain = frequencies(8, t, "plain")
    assert torch.allclose(plain[0], plain[2]) and plain[0, 0] == 0.25 and plain[0, -1].item() == pytest.approx(32)
    aware = frequencies(8, t, "time_aware", 8.0)
    assert torch.allclose(aware[0], plain[0] / 8) and torch.allclose(aware[1], plain[0] / 8**0.5)
    assert torch.allclose(aware[2], plain[0])
    assert torch.allclose(frequencies(8, t, "interpolation", 8.0), plain / 8)
    ntk = frequencies(8, t, "ntk_aware", 8.0)
    assert torch.allclose(ntk[:, 0], plain[:, 0] / 8) and torch.allclose(ntk[:, -1], plain[:, -1])
    rope = frequencies(8, t, "time_aware_rope", 8.0)
    assert torch.allclose(rope[2], ntk[2]) and torch.allclose(rope[0, :-1], plain[0, :-1] / 8)
    for method in METHODS:
        found = frequencies(8, t, method, 8.0)
        assert (
            found.shape == (3, 8) and (found.diff(dim=0) >= -1e-6).all() and torch.equal(found, found.clamp(0.03, 33))
        )
    with pytest.raises(ValueError, match="unknown point scaling 'none'"):
        frequencies(8, t, "none")


@pytest.mark.parametrize("config", (SMALL, LABELS, replace(LABELS, scaling="plain", qk_norm=False, paired=True)))
def test_a_file_tells_what_it_is(tmp_path, config):
    model = network(config)
    save_model(model, tmp_path / "points.safetensors")
    assert describe(tmp_path / "points.safetensors").family.name == "points"
    again = load_model(tmp_path / "points.safetensors", family="points")
    assert again.config == config
    assert all(torch.equal(again.state_dict()[key], x) for key, x in model.state_dict().items())


def test_files_that_say_nonsense_are_refused(tmp_path):
    file = tmp_path / "points.safetensors"
    for told, message in (
        ({"point_scale": "wide"}, "point_scale 'wide'"),
        ({"point_scale": "0.5"}, "from 1 on, got 0.5"),
        ({"labels": "plane, chair"}, "2 labels, its weights 3"),
        ({"point_scaling": "odd"}, "unknown point scaling 'odd'"),
    ):
        save_model(network(LABELS), file, told)
        with pytest.raises(ValueError, match=f"points.safetensors: .*{message}"):
            load_model(file)


def test_wrong_input_is_an_error_that_helps():
    model, (x, t, text) = network(LABELS), inputs(8)
    for wrong in (x[0], x[:, :2], x[..., None]):
        with pytest.raises(ValueError, match=r"takes point clouds, \(batch, 3, points\)"):
            model(wrong, t, torch.zeros(2, 1, 3))
    with pytest.raises(ValueError, match="at least 1 point"):
        model(x[:, :, :0], t, torch.zeros(2, 1, 3))
    with pytest.raises(ValueError, match="from a label, not from text: choose one of plane, chair, table"):
        model(x, t, text)
    with pytest.raises(ValueError, match="text features are 3 wide"):
        network(SMALL)(x, t, torch.zeros(2, 1, 3))
    assert LABELS.label(" Chair ") == 1 and LABELS.label("2") == LABELS.label(2) == 2
    for label in ("sofa", "3", "-1", "", "²"):
        with pytest.raises(ValueError, match="this model knows plane, chair, table"):
            LABELS.label(label)
    with pytest.raises(ValueError, match="from text, not from a label"):
        SMALL.label("chair")
