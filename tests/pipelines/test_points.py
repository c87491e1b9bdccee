"""Requests for points: what they refuse and fill in, and what is made."""

import sys
from dataclasses import replace

import pytest
import torch

from lumina_next.nextdit import save_model
from lumina_next.nextdit.clouds.files import read_points
from lumina_next.nextdit.clouds.shape import fit, unevenness
from lumina_next.pipelines import Models, PointsRequest, Sampling, points
from lumina_next.pipelines.points import bytes_needed
from lumina_next.tests.support.untrained_points import untrained

CLOUD = torch.rand(12, 3, generator=torch.Generator().manual_seed(0)) - 0.5
TWO = Sampling(2, "uniform", cfg=2.0)


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Models:
    file = tmp_path_factory.mktemp("points") / "points.safetensors"
    save_model(untrained(), file)
    return Models(file, device="cpu")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Models:
    file = tmp_path_factory.mktemp("points") / "text.safetensors"
    save_model(untrained(labels=False), file)
    return Models(file, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": None}, "give a prompt or a label, and not both"),
        ({"prompt": "chair"}, "and not both"),
        ({"label": None, "prompt": 3}, "prompt must be a text"),
        ({"count": 0}, "count must be a whole number of points, at least 1, got 0"),
        ({"count": 2.5}, "got 2.5"),
        ({"seeds": (-1,)}, "seed must be between 0"),
        ({"keep": True}, "need a cloud to start from"),
        ({"denoise": 0.5}, "need a cloud to start from"),
        ({"cloud": CLOUD, "denoise": 0.0}, "denoise must be above 0"),
        ({"cloud": CLOUD, "count": 11}, "count is 11, but the cloud has 12 points already"),
        ({"cloud": CLOUD, "count": 12, "keep": True}, "ask for more"),
        ({"cloud": CLOUD.T}, r"must be two or more points, \(N, 3\), got \(3, 12\)"),
        ({"sampling": Sampling(channels=3)}, "channels must be left out"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PointsRequest(**{"label": "chair"} | options)


def test_points_know_what_made_them_and_come_again(labels, tmp_path):
    seen = []
    request = PointsRequest(label="chair", count=30, seeds=(3, 4), sampling=TWO)
    first, second = points(request, labels, lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert first.points.shape == (30, 3) and not torch.equal(first.points, second.points)
    assert (first.parameters["label"], first.parameters["count"], second.parameters["seed"]) == ("chair", 30, 4)
    again = points(PointsRequest(label=1, count=30, seeds=(3,), sampling=TWO), labels)[0]
    torch.testing.assert_close(again.points, first.points, rtol=1e-3, atol=1e-3)
    first.save(tmp_path / "a.ply", up="z")
    assert torch.allclose(read_points(tmp_path / "a.ply"), first.points)
    assert first.picture(64).size == (256, 64) and first.picture(64).parameters["label"] == "chair"


def test_many_points_begin_with_grain_unless_it_is_1(labels):
    made = [
        points(PointsRequest(label="chair", count=count, grain=grain, sampling=TWO), labels)[0].points
        for count, grain in ((30, 1.0), (30, 0.2), (16, 1.0), (16, 0.2))
    ]
    assert not torch.equal(made[0], made[1]) and torch.equal(made[2], made[3]), "16 are those of training"
    with pytest.raises(ValueError, match="grain must be from 0 to 1, got 2"):
        PointsRequest(label="chair", grain=2)


def test_a_prompt_makes_points(texts):
    made = [points(PointsRequest(prompt, count=20, sampling=TWO), texts)[0].points for prompt in ("chair", "椅子")]
    assert made[0].shape == (20, 3) and not torch.equal(*made)


def test_points_that_are_given_stay(labels):
    made = points(PointsRequest(label="chair", cloud=CLOUD, keep=True, count=40, sampling=TWO), labels)[0].points
    assert made.shape == (40, 3) and torch.allclose(made[:12], CLOUD, atol=1e-5)
    dense = points(PointsRequest(label="chair", cloud=CLOUD, keep=True, count=40, denoise=0.4, sampling=TWO), labels)[0]
    assert torch.allclose(dense.points[:12], CLOUD, atol=1e-5) and not torch.equal(dense.points, made)


def test_a_variation_is_nearer_with_less_noise_and_lies_where_the_cloud_lay(labels):
    fitted, frame = fit(CLOUD * 50 + 200, "y")

    def apart(denoise: float) -> float:
        request = PointsRequest(label="chair", cloud=fitted, frame=frame, denoise=denoise, sampling=TWO)
        made = points(request, labels)[0]
        assert abs(float(made.frame.restored(made.points).mean()) - 200) < 100
        return float((made.points - fitted).norm())

    assert apart(0.1) < apart(0.8)


def test_a_model_trained_with_pairs_starts_a_variation_from_them(labels, monkeypatch):
    """Its flow then has no noise left that goes elsewhere: a cloud comes back whatever the order of its points."""
    network = labels.network("points")
    monkeypatch.setattr(network, "config", replace(network.config, paired=True))
    seen, turned = [], CLOUD.flip(0)
    monkeypatch.setattr(network, "forward", lambda x, t, *args, **kwargs: seen.append(x) or torch.zeros_like(x))
    for cloud in (CLOUD, turned):
        points(PointsRequest(label="chair", cloud=cloud, denoise=0.5, sampling=TWO), labels)
    torch.testing.assert_close(seen[0], seen[-1].flip(-1))


def test_an_even_cloud_is_evener(labels):
    plain, even = (
        points(PointsRequest(label="chair", count=60, even=even, sampling=TWO), labels)[0].points
        for even in (False, True)
    )
    assert even.shape == plain.shape and unevenness(even) < unevenness(plain)


def test_models_that_do_not_fit_and_memory_that_does_not_do(labels, texts, monkeypatch):
    with pytest.raises(ValueError, match="from a label, not from text"):
        points(PointsRequest("chair", sampling=TWO), labels)
    with pytest.raises(ValueError, match="from text, not from a label"):
        points(PointsRequest(label="chair", sampling=TWO), texts)
    with pytest.raises(ValueError, match="this model knows plane, chair, table"):
        points(PointsRequest(label="sofa", sampling=TWO), labels)
    with pytest.raises(ValueError, match="expected a Next-DiT for points"):
        points(PointsRequest(label="chair"), Models(device="cpu"))
    monkeypatch.setattr(sys.modules[PointsRequest.__module__], "free_memory", lambda device: 10**9)
    with pytest.raises(
        ValueError, match=r"2 × 10000000 points at once need about \d+ GB, and cpu has 1 GB free: make fewer"
    ):
        points(PointsRequest(label="chair", count=10**7, sampling=TWO), labels)
    assert bytes_needed(labels.config, 10, 2) == 2 * bytes_needed(labels.config, 5, 2)
