"""The small network of core's Lumina-Image-2.0 class: its training, and the benchmarks that measure it."""

import json
from pathlib import Path

import pytest
import torch

from lumina_next.benchmarks.context_drop import run as context_drop
from lumina_next.benchmarks.joint import network, run
from lumina_next.benchmarks.joint.batches import JointBatches
from lumina_next.benchmarks.joint.config import CONFIG, read_config
from lumina_next.benchmarks.joint.model import JointModel
from lumina_next.benchmarks.quality import run as quality
from lumina_next.benchmarks.regions import cost
from lumina_next.benchmarks.regions import run as regions
from lumina_next.benchmarks.shared.comfyui import import_comfyui
from lumina_next.benchmarks.shared.networks import open_network
from lumina_next.benchmarks.shared.truth import Truth
from lumina_next.benchmarks.sizes import run as sizes
from lumina_next.benchmarks.two_passes import run as two_passes
from lumina_next.nextdit import ContextDrop, RopeScaling
from lumina_next.nodes.adapter.patches.scaled_rope import scale_rope
from lumina_next.tests.support.comfy_server import find_comfyui

TINY = CONFIG | {"dim": 48, "n_layers": 1, "n_heads": 1, "axes_dims": [16, 16, 16]}
KNOWN = 4
COMFYUI = str(find_comfyui())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small network, as after training: no gate is shut."""
    torch.manual_seed(0)
    made = network.build(TINY)
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    file = tmp_path_factory.mktemp("joint") / "joint.safetensors"
    network.save(made, file, {"train_tokens": "16", "known": str(KNOWN)})
    return file


@pytest.fixture(scope="module")
def texts():
    options = run.parse(["--run", "unused"])
    return run.Texts(run.load_text_encoder(options.text_encoder, dtype=torch.float32))


@pytest.fixture
def batches(texts):
    options = run.parse(["--run", "unused", "--known", str(KNOWN), "--tokens", "2048"])
    return JointBatches(options, 4, texts.count)


def noise(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


def test_nothing_of_an_untrained_network_is_left_to_chance():
    torch.use_deterministic_algorithms(True)  # memory that nobody has written to is then NaN
    try:
        made = network.build(TINY)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(parameter.isfinite().all() for parameter in made.parameters())
    assert made.cap_embedder[1].weight.any() and not made.layers[0].adaLN_modulation[1].weight.any()


def test_the_model_that_is_measured_is_the_network_that_was_trained(trained):
    x, t, text = noise(3, 3, 32, 48), torch.tensor([0.1, 0.5, 0.9]), noise(3, 4, 128)
    with torch.no_grad():
        wanted = run.velocity(network.load(trained), text, x, t)
    torch.testing.assert_close(JointModel(trained)(x, t, text), wanted, atol=1e-5, rtol=1e-5)


def test_texts_of_several_lengths_are_read_without_their_padding(trained):
    model, x, t, text = JointModel(trained), noise(2, 3, 32, 32), torch.full((2,), 0.5), noise(2, 4, 128)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    both = model(x, t, text, mask)
    torch.testing.assert_close(both[:1], model(x[:1], t[:1], text[:1]))
    torch.testing.assert_close(both[1:], model(x[1:], t[1:], text[1:, :2]))


def test_the_packs_nodes_patch_it(trained):
    model, x, t, text = JointModel(trained), noise(1, 3, 128, 128), torch.full((1,), 0.5), noise(1, 4, 128)
    plain = model(x, t, text)
    assert torch.equal(model(x, t, text, rope=RopeScaling("extrapolation", 2.0, 16)), plain)
    for patched in ({"rope": RopeScaling("interpolation", 2.0, 16)}, {"drop": ContextDrop(2, "none")}):
        assert not torch.allclose(model(x, t, text, **patched), plain, atol=1e-4)
    assert torch.equal(model(x, t, text), plain)


def test_auto_is_what_won_on_it(trained):
    _, settings = scale_rope(JointModel(trained).patcher, "auto", 64)
    assert (settings.method, settings.proportional, settings.train_tokens) == ("time_aware_late", True, 16)


def test_regions_are_areas_first(trained):
    model, layout = JointModel(trained), regions.LAYOUTS[0]
    texts = [(noise(1, n, 128), torch.ones(1, n, dtype=torch.bool)) for n in (3, 2, 2)]
    regional = model.regional(texts, layout.masks(), areas_until=0.3)
    x, early, late = noise(1, 3, *layout.size), torch.tensor([0.1]), torch.tensor([0.5])
    torch.testing.assert_close(regional(x, early), regions.stock_areas(model, layout, texts)(x, early))
    assert not torch.allclose(regional(x, late), regions.stock_areas(model, layout, texts)(x, late), atol=1e-4)
    assert not torch.allclose(regional(x, late), model(x, late, *texts[0]), atol=1e-4)


def test_the_rest_of_a_picture_can_be_a_region_too(trained):
    model, layout = JointModel(trained), regions.INSET
    texts = [(noise(1, n, 128), torch.ones(1, n, dtype=torch.bool)) for n in (4, 3)]
    x, early = noise(1, 3, *layout.size), torch.tensor([0.1])
    drawn = regions.rest_too(model, layout, texts)(x, early)
    left = layout.box[1].start
    torch.testing.assert_close(drawn[..., :left], model(x[..., :left].contiguous(), early, *texts[0]))
    torch.testing.assert_close(drawn[..., layout.box[1]], model(x[..., layout.box[1]].contiguous(), early, *texts[1]))
    strip = slice(layout.box[1].stop, None)
    torch.testing.assert_close(drawn[..., strip], model(x[..., strip].contiguous(), early, *texts[0]))


def test_a_batch_has_captions_of_one_length_and_shows_what_they_say(batches, texts):
    truth, seen = Truth(known=KNOWN), set()
    assert batches.concepts == truth.concepts
    for step in range(30):
        batch = batches.draw(step, 0.0)
        assert len({texts.count(prompt) for prompt in batch.prompts}) == 1
        assert torch.equal(batch.pictures, batches.draw(step, 0.5).pictures)
        for prompt, picture in zip(batch.prompts, batch.pictures, strict=True):
            left_of = [name for name in batches.names.values() if prompt.startswith(f"{name} left of ")]
            plain = [i for i, name in batches.names.items() if name == prompt]
            seen |= {"pair"} if left_of else {"plain"} if plain else set()
            if left_of:
                left, right = truth.nearest(torch.stack(picture.chunk(2, -1))).tolist()
                assert prompt == f"{batches.names[left]} left of {batches.names[right]}"
            elif plain and picture.shape[-1] == picture.shape[-2]:
                assert truth.nearest(picture[None]).tolist() == plain
    assert seen == {"pair", "plain"}
    assert sum(batches.canvases.values()) == pytest.approx(1)


def test_pictures_are_put_together_on_the_device(texts):
    options = run.parse(["--run", "unused", "--known", str(KNOWN), "--tokens", "2048", "--device", "meta"])
    assert JointBatches(options, 4, texts.count).draw(0, 0.0).pictures.device.type == "meta"


def test_training_goes_on_where_it_stopped(tmp_path, trained):
    import comfy.model_management

    options = ["--run", str(tmp_path), "--model", str(trained), "--known", str(KNOWN), "--comfyui", COMFYUI]
    options += ["--train-pixels", "32", "--tokens", "128", "--no-compile"]
    run.main([*options, "--steps", "1", "--no-samples"])
    run.main([*options, "--steps", "2"])
    assert not comfy.model_management.in_training
    assert len((tmp_path / "losses.txt").read_text().split()) == 2 and (tmp_path / "samples-000002.png").is_file()
    model = open_network(tmp_path / "model.safetensors", Path(COMFYUI), torch.float32)
    assert (model.known, model.train_size) == (KNOWN, 32)


def test_patches_may_be_smaller_for_more_positions(tmp_path):
    options = ["--run", str(tmp_path), "--patch-size", "2", "--known", str(KNOWN), "--comfyui", COMFYUI]
    options += ["--train-pixels", "32", "--tokens", "128", "--no-compile", "--no-samples", "--device", "cpu"]
    trainer = run.make_trainer(run.parse(options))
    assert trainer.run.model.patch_size == 2 and trainer.task.about(trainer.run.model)["train_tokens"] == "16"


def test_the_benchmarks_measure_it(tmp_path, trained):
    shared = ["--model", str(trained), "--comfyui", COMFYUI, "--steps", "1", "--results", str(tmp_path)]
    pictures = ["--pictures", str(tmp_path), "--name"]
    quality.main([*shared, *pictures, "joint", "--only", "languages", "two"])
    found = json.loads((tmp_path / "joint.json").read_text("utf-8"))["sections"]
    assert [row["prompts"] for row in found["Languages, emoji and held-out names"]] == ["en", "emoji"]
    assert found["Two objects"][0]["left"]["n"] == 2 * KNOWN
    sizes.main(
        [
            *shared,
            *pictures,
            "joint_sizes",
            "--sizes",
            "1.5×",
            "--rope",
            "interpolation",
            "extrapolation",
            "--prompts",
            "2",
        ]
    )
    rows = json.loads((tmp_path / "joint_sizes.json").read_text("utf-8"))["sections"]["1.5×"]
    assert [row["method"] for row in rows][2:4] == ["interpolation", "extrapolation"]
    two_passes.main([*shared, *pictures, "joint_passes", "--prompts", "1", "--denoise", "0.3", "--pass-steps", "1"])
    assert (tmp_path / "joint_passes-2x.webp").is_file()
    context_drop.main([*shared, *pictures, "joint_drop", "--sizes", "1×", "--windows", "2", "--prompts", "1"])
    rows = json.loads((tmp_path / "joint_drop.json").read_text("utf-8"))["sections"]["1×"]
    assert {row["pooled"] for row in rows} == {"", "after RoPE"}
    regions.main([*shared, "--grids", str(tmp_path), "--name", "joint_regions", "--layouts", "2×2", "--pictures", "1"])
    found = json.loads((tmp_path / "joint_regions.json").read_text("utf-8"))["sections"]["2×2"]
    assert [row["method"] for row in found] == list(regions.OTHER_LAYOUTS)


def test_what_it_takes_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no ComfyUI, .*give --comfyui FOLDER, or set COMFYUI_PATH"):
        import_comfyui(tmp_path)
    demo = run.DEMO / "diffusion_models" / "lumina-next-demo.safetensors"
    assert read_config(demo) is None
    with pytest.raises(ValueError, match="is no network that benchmarks.joint trained"):
        network.load(demo)


def test_two_regions_are_timed_against_one_prompt(trained, tmp_path):
    cost.main(
        ["--model", str(trained), "--sides", "32", "--rounds", "3", "--results", str(tmp_path)] + ["--comfyui", COMFYUI]
    )
    (row,) = json.loads((tmp_path / "regions_cost.json").read_text("utf-8"))["sections"]["An evaluation"]
    assert row["tokens"] == 128 and 0 < row["ratio"]["low"] <= row["ratio"]["high"]
