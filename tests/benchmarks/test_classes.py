"""The benchmark of classes: networks of one size that differ in one thing, a judge, races that go on, tables."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from lumina_next.benchmarks.classes import judge as judge_module
from lumina_next.benchmarks.classes import measures, race, run, variants
from lumina_next.benchmarks.classes.judge import PIXELS, Judge, judged
from lumina_next.benchmarks.classes.variants import BASE, NEXT, VARIANTS, matched, parameters, prepared
from lumina_next.nextdit import save_model
from lumina_next.nextdit.models.class_image import ClassDiT
from lumina_next.tests.nextdit.conftest import randomise

SMALL = replace(BASE, dim=32, n_layers=4, n_heads=4, n_kv_heads=2, ffn_dim=48, time_dim=16)


def built(name: str, config=SMALL) -> ClassDiT:
    torch.manual_seed(0)
    return VARIANTS[name].build(replace(config, **VARIANTS[name].changed))


@torch.no_grad()
def outcome(model: ClassDiT) -> torch.Tensor:
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return model(x, torch.tensor([0.2, 0.7]), torch.tensor([3, SMALL.classes]))


def test_all_networks_have_nearly_as_many_parameters():
    counts = {name: parameters(each.build(matched(each), "meta")) for name, each in VARIANTS.items()}
    assert max(counts.values()) < 1.01 * min(counts.values()), counts


def test_long_skips_begin_as_if_there_were_none_and_join_early_layers_to_late_ones():
    plain, skips = randomise(built(NEXT)), prepared(built("long skips"))
    missing = skips.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(key.startswith("skips.") for key in missing)
    torch.testing.assert_close(outcome(skips), outcome(plain))
    for number, skip in enumerate(skips.skips):
        with torch.no_grad():
            skip.weight[:, SMALL.dim :] = 0.5 * torch.eye(SMALL.dim)
        assert not torch.allclose(outcome(skips), outcome(plain), atol=1e-4), f"skip {number}"


def test_gates_without_tanh_and_sub_layers_without_norms_are_not_bounded():
    found = {}
    for name in (NEXT, "no tanh gates", "no sandwich norms"):
        model = built(name)
        model.load_state_dict(randomise(built(NEXT)).state_dict(), strict=False)
        with torch.no_grad():
            for layer in model.layers:
                layer.adaLN_modulation[1].bias[SMALL.dim : 2 * SMALL.dim] += 30  # the gate of the attention
                layer.attention.wo.weight *= 30
        found[name] = variants.magnitudes(model, lambda model=model: outcome(model))
    assert len(found[NEXT]) == SMALL.n_layers and found[NEXT] == sorted(found[NEXT])
    assert found["no tanh gates"][-1] > 5 * found[NEXT][-1]
    assert found["no sandwich norms"][-1] > 5 * found[NEXT][-1]


def test_intervals_are_students_and_differences_paired():
    found = measures.over_seeds([1.0, 2.0, 3.0])
    assert found["value"] == 2 and found["high"] - 2 == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    apart = measures.paired([5.0, 7.0, 9.0], [4.0, 6.1, 7.9])
    assert apart["value"] == pytest.approx(1.0) and 0 < apart["low"] < apart["high"] < 1.3
    with pytest.raises(ValueError, match="two seeds or more, got 1"):
        measures.over_seeds([1.0])


class Squares:
    """Two labels: a light square, and a dark one."""

    labels = {"en": ["light", "dark"]}

    def __len__(self) -> int:
        return 2

    def draw(self, label, size, chance) -> Image.Image:
        return Image.new("RGB", size, (250 - 240 * label,) * 3)


def test_the_judge_learns_the_same_from_the_same_pictures(monkeypatch):
    pytest.importorskip("timm")
    monkeypatch.setattr(judge_module, "BATCH", 4)
    monkeypatch.setattr(judge_module, "WIDTHS", (4, 8))
    first, again, longer = (judge_module.train(Squares(), steps).state_dict() for steps in (2, 2, 3))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.weight"], longer["head.weight"]) and len(first["head.bias"]) == 2


def test_pictures_of_any_size_are_judged_as_they_are_shown():
    class Brightness(torch.nn.Module):
        def forward(self, x):
            assert x.shape[1:] == (3, PIXELS, PIXELS) and x.abs().max() <= 1
            return torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], dim=1)

    for side in (16, PIXELS, 48):
        light = torch.full((1, 3, side, side), 3.0)
        assert judged(Brightness(), torch.cat([light, -light])).tolist() == [0, 1]


def test_one_command_races_all_goes_on_and_fills_the_tables(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(run, "VARIANTS", {name: VARIANTS[name] for name in (NEXT, "Flag-DiT")})
    monkeypatch.setattr(race, "matched", lambda variant: replace(SMALL, **variant.changed))
    monkeypatch.setattr(run, "BASE", SMALL)
    (runs := tmp_path / "runs").mkdir()
    torch.save(Judge().state_dict(), runs / "judge-800.pt")
    model = ClassDiT(replace(SMALL, classes=64, labels=tuple(f"class {n}" for n in range(64))))
    save_model(randomise(model), tmp_path / "model.safetensors", {"train_tokens": "8"})
    document = tmp_path / "page.md"
    document.write_text("".join(f"<!-- table: {title} -->\n<!-- end -->\n" for title in (run.BOX, run.END)))
    given = ["--cache", tmp_path, "--runs", runs, "--model", tmp_path / "model.safetensors", "--seeds", 2]
    given += ["--train-steps", 5, "--batch", 4, "--steps", 1, "--box-samples", 1, "--document", document]
    given += ["--results", tmp_path, "--pictures", tmp_path]
    monkeypatch.setattr(run, "WAYS", {"one evaluation": run.Sampling(1, "uniform", cfg=1.0)})
    run.main([str(word) for word in given])
    found = json.loads((tmp_path / "classes.json").read_text())["sections"]
    assert [row["network"] for row in found[run.END]] == [NEXT, "Flag-DiT"]
    assert found[run.END][0]["loss − Next-DiT's"]["value"] == 0 != found[run.END][1]["loss − Next-DiT's"]["value"]
    assert [row["steps"] for row in found[run.WAY]] == [1, 2, 4, 5] * 2
    assert len(list(runs.glob("*.json"))) == 4 and (tmp_path / "classes.svg").is_file()
    assert "| Flag-DiT |" in document.read_text() and "| ceiling, % |" in document.read_text()
    monkeypatch.setattr(race, "race", lambda *_: pytest.fail("what is done is not done again"))
    run.main([str(word) for word in [*given, "--sections", "end"]])
    run.main([str(word) for word in [*given, "--redraw"]])
