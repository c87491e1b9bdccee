"""The multi-view benchmark: what counts as the right azimuth, and that it writes what it says."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lumina_next.benchmarks.shared.flops import views_flops
from lumina_next.nextdit import MultiViewNextDiT, load_model, save_model
from lumina_next.nextdit.call import Call
from lumina_next.nextdit.models.multiview import MultiViewConfig, Views
from lumina_next.tests.benchmarks.test_step import CONFIGS, plain
from lumina_next.tests.support import untrained_model, untrained_text_encoder

pytest.importorskip("trimesh")  # tests/training/conftest.py says loudly what is missing
pytest.importorskip("embreex")

from lumina_next.benchmarks.views import run as views

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def held():
    return views.held_out(3, 32)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_formula_counts_what_torch_counts(config, frames):
    model = MultiViewNextDiT(MultiViewConfig.of(config), device="meta")
    x = torch.empty(1, frames, config.in_channels, 12, 16, device="meta")
    text, t = torch.empty(1, 7, config.text_dim, device="meta"), torch.empty(1, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.velocity(Views(x, torch.empty(1, frames, device="meta")), t, text, call=Call(attend=plain))
    assert counter.get_total_flops() == views_flops(config, (6, 8), frames, 7)


def test_true_views_are_right_and_turned_ones_are_not(held):
    azimuths = views.ring(8)
    assert azimuths.tolist() == [30, 75, 120, 165, 210, 255, 300, 345]
    exact = views.measures(held, held.at(azimuths), azimuths)
    assert exact["azimuth within 15°"]["value"] == 100 and exact["perceptual"]["value"] < 1e-3
    for turned, share in ((15, 100), (30, 0), (180, 0)):
        found = views.measures(held, held.at(azimuths + turned), azimuths)["azimuth within 15°"]["value"]
        assert found == share
    relative = views.measures(held, held.at(azimuths + 90), azimuths, relative=True)
    assert relative["azimuth within 15°"]["value"] == 100


def test_azimuths_of_a_ring_are_rendered_ones():
    for count in views.NUMBERS:
        assert len(set(views.ring(count).tolist())) == count
        assert all(azimuth % views.EVERY == 0 for azimuth in views.ring(count))


def test_it_writes_tables_and_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "NUMBERS", (1, 8))
    untrained_model.write(tmp_path / "image.safetensors")
    model = MultiViewNextDiT.from_image_model(load_model(tmp_path / "image.safetensors"))
    save_model(model, tmp_path / "model.safetensors")
    encoder = untrained_text_encoder.write(tmp_path / "text_encoder")
    shutil.copy(DOCS / "multi_view.md", tmp_path / "multi_view.md")
    file = str(tmp_path / "model.safetensors")
    more = ["--model", file, "--no-azimuth", file, "--no-cross-view", file, "--text-encoder", str(encoder)]
    more += ["--objects", "2", "--fewer", "1", "--steps", "1", "--document", str(tmp_path / "multi_view.md")]
    views.main([*more, "--results", str(tmp_path), "--pictures", str(tmp_path)])
    found = json.loads((tmp_path / "views.json").read_text("utf-8"))["sections"]
    assert [len(rows) for rows in found.values()] == [5, 2, 3]
    first, many, dropped = found["Numbers of views"]
    assert first["÷ 1 view"] == 1 and many["views"] == 8 and dropped["context drop"] == "2 × 2, linear"
    assert many["operations a view ÷ 1 view"] > 1 and dropped["memory, MB"] > 0
    assert "| image and caption |" in (tmp_path / "multi_view.md").read_text("utf-8")
    assert (tmp_path / "views.webp").is_file()
