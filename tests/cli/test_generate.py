"""`lumina-next generate`: right pictures, parameters in them, and nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from lumina_next.cli import main
from lumina_next.demo import FOLDER as DEMO
from lumina_next.nextdit import ContextDrop, MultiViewNextDiT, RopeScaling, load_model, save_model
from lumina_next.nextdit.text import load_text_encoder
from lumina_next.pipelines import Models, Sampling, text_to_image
from lumina_next.version import VERSION

QUICK = ("--steps", "2", "--device", "cpu")


def generate(*arguments: object) -> None:
    assert main(["generate", *(str(a) for a in (*arguments, *QUICK))]) == 0


def pixels(file: str) -> torch.Tensor:
    """Pixels (H, W, 3) of a PNG as integers."""
    with Image.open(file) as image:
        return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3).int()


def test_makes_a_picture_that_tells_how_it_was_made(capsys):
    generate("猫 🐈 قطة", "--negative", "blur", "--seed", "7", "--schedule", "sigmoid,mu=0.5", "-o", "cat.png")
    assert capsys.readouterr().out == "cat.png\n"
    with Image.open("cat.png") as image:
        assert (image.size, image.mode, image.format) == ((64, 64), "RGB", "PNG")
        told = json.loads(image.text["parameters"])
    versions = told.pop("versions")
    assert {"python", "torch", "transformers", "lumina-next"} == set(versions)
    assert told == {
        "prompt": "猫 🐈 قطة",
        "negative": "blur",
        "model": "lumina-next-demo.safetensors",
        "text_encoder": "lumina-next-demo",
        "vae": None,
        "width": 64,
        "height": 64,
        "steps": 2,
        "schedule": "sigmoid,mu=0.5",
        "method": "euler",
        "cfg": 4.0,
        "channels": None,
        "rope": "auto",
        "context_drop": None,
        "second_pass": None,
        "train_size": 64,
        "seed": 7,
        "dtype": None,
    }


def test_is_the_euler_solution_with_guidance():
    """Against the core's parts put together without batching: order of the halves, times, seed, range of pixels."""
    generate("a fox", "--negative", "a hen", "--cfg", "3", "--schedule", "uniform", "--dtype", "fp32", "--seed", "5")
    model = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", dtype=torch.float32)
    encoder = load_text_encoder(DEMO / "text_encoders" / "lumina-next-demo")
    (fox, _), (hen, _) = encoder(["a fox"]), encoder(["a hen"])
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        for t in (0.0, 0.5):
            cond, uncond = (model(x, torch.tensor([t]), text) for text in (fox, hen))
            x = x + 0.5 * (uncond + 3 * (cond - uncond))
    expected = ((x[0].clamp(-1, 1) + 1) * 127.5).round().int().permute(1, 2, 0)
    difference = (pixels("lumina-next.png") - expected).abs()
    assert difference.max() <= 1 and expected.float().std() > 10


def test_above_the_training_size_rope_is_scaled_as_asked():
    size = ("--width", "96", "--height", "80", "--cfg", "1", "--schedule", "uniform", "--dtype", "fp32")
    rope = RopeScaling("interpolation", (96 * 80) ** 0.5 / 64, 16)
    model = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", dtype=torch.float32)
    text, _ = load_text_encoder(DEMO / "text_encoders" / "lumina-next-demo")(["fox"])
    x = torch.randn(1, 3, 80, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for t in (0.0, 0.5):
            x = x + 0.5 * model(x, torch.tensor([t]), text, rope=rope)
    expected = ((x[0].clamp(-1, 1) + 1) * 127.5).round().int().permute(1, 2, 0)
    generate("fox", *size, "--rope", "interpolation")
    assert (pixels("lumina-next.png") - expected).abs().max() <= 1
    generate("fox", *size, "--rope", "time_aware_late,return_from=1,return_to=1", "-o", "late.png")
    assert (pixels("late.png") - expected).abs().max() <= 1
    generate("fox", *size, "--rope", "interpolation", "--train-size", "96", "-o", "small.png")
    assert (pixels("small.png") - expected).abs().max() > 10


def test_a_second_pass_paints_over_the_first():
    size = ("--width", "128", "--height", "96", "--cfg", "1", "--schedule", "uniform", "--dtype", "fp32")
    model = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", dtype=torch.float32)
    text, _ = load_text_encoder(DEMO / "text_encoders" / "lumina-next-demo")(["fox"])
    noise = [torch.randn(1, 3, *s, generator=torch.Generator().manual_seed(0)) for s in ((55, 74), (96, 128))]
    x, rope = noise[0], RopeScaling("interpolation", (14 * 19) ** 0.5 / 16, 16)
    with torch.inference_mode():
        for t in (0.0, 0.5):
            x = x + 0.5 * model(x, torch.tensor([t]), text, rope=rope)
        x = 0.5 * noise[1] + 0.5 * torch.nn.functional.interpolate(x, (96, 128), mode="bicubic")
        rope = RopeScaling("interpolation", (96 * 128) ** 0.5 / 64, 16)
        x = x + 0.5 * model(x, torch.tensor([0.5]), text, rope=rope)
    expected = ((x[0].clamp(-1, 1) + 1) * 127.5).round().int().permute(1, 2, 0)
    generate("fox", *size, "--rope", "interpolation", "--second-pass", "0.5")
    assert (pixels("lumina-next.png") - expected).abs().max() <= 1
    plain = ("fox", "--dtype", "fp32", "-o")
    generate(*plain, "one.png")
    generate(*plain, "same.png", "--second-pass", "0.5")  # at the training size there is nothing to do
    assert torch.equal(pixels("one.png"), pixels("same.png"))


def test_the_size_is_the_checkpoints(fails):
    demo = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors")
    for name, metadata in (("told", {"train_tokens": "8"}), ("silent", {})):
        save_model(demo, f"{name}.safetensors", metadata)
    said = fails("generate", "fox", "--model", "silent.safetensors", *QUICK)
    assert "silent.safetensors: this model's file does not say on which image size it was trained: set --train-" in said
    assert "which are 5 tokens of 4 pixels; expected at least 28" in fails("generate", "fox", "--train-size", "20")
    generate("fox", "--model", "told.safetensors", "-o", "told.png")
    assert pixels("told.png").shape == (32, 32, 3)
    generate("fox", "--model", "silent.safetensors", "--train-size", "40", "-o", "asked.png")
    assert pixels("asked.png").shape == (40, 40, 3)


def test_a_batch_is_the_pictures_of_its_seeds():
    generate("a fox", "--batch", "2", "--seed", "3", "--dtype", "fp32", "-o", "fox.png")
    assert sorted(file.name for file in Path().iterdir()) == ["fox-3.png", "fox-4.png"]
    generate("a fox", "--seed", "4", "--dtype", "fp32", "-o", "alone.png")
    assert (pixels("fox-4.png") - pixels("alone.png")).abs().max() <= 1
    assert (pixels("fox-3.png") - pixels("alone.png")).abs().max() > 50
    with Image.open("fox-4.png") as image:
        assert json.loads(image.text["parameters"])["seed"] == 4


def test_latents_are_decoded_and_cropped(latent_model, vae):
    generate("a fox", "--model", latent_model, "--vae", vae, "--width", "50", "--height", "34", "--channels", "3")
    assert pixels("lumina-next.png").shape == (34, 50, 3)
    twice = ("--width", "256", "--height", "128", "--train-size", "128", "--second-pass", "0.5")
    generate("a fox", "--model", latent_model, "--vae", vae, *twice, "--overwrite")
    assert pixels("lumina-next.png").shape == (128, 256, 3)


def test_without_guidance_the_negative_prompt_has_no_part():
    generate("a fox", "--cfg", "1", "--negative", "a hen", "-o", "one.png")
    generate("a fox", "--cfg", "1", "-o", "two.png")
    generate("a hen", "--cfg", "1", "-o", "three.png")
    assert torch.equal(pixels("one.png"), pixels("two.png"))
    assert not torch.equal(pixels("one.png"), pixels("three.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gone.safetensors"], "gone.safetensors does not exist"),
        (["--text-encoder", "gone"], "gone does not exist"),
        (["--vae", "some.safetensors"], "paints pixels and takes no --vae"),
        (["--steps", "0"], "steps must be a whole number of at least 1, got 0"),
        (["--schedule", "cubic"], "unknown schedule 'cubic'"),
        (["--rope", "dype"], "unknown RoPE method 'dype'"),
        (["--rope", "time_aware_late,alpha=1"], "--rope knows watershed, return_from and return_to, got alpha"),
        (["--context-drop", "quadratic"], "quadratic"),
        (["--context-drop", "none,share=1"], "--context-drop knows window, start and end, got share"),
        (["--context-drop", "none,window=1.5"], "a whole number of tokens for its window, got 1.5"),
        (["--second-pass", "1"], "--second-pass must be between 0 and 1, got 1"),
        (["--train-size", "0"], "--train-size must be at least 1, got 0"),
        (["--schedule", "rational,alpha"], "--schedule wants NAME,key=number"),
        (["--schedule", "rational,beta=1"], "no parameter beta"),
        (["--method", "dopri5"], "unknown solver 'dopri5'"),
        (["--rope", ""], "unknown RoPE method ''"),
        (["--rope", "interpolation,watershed=0.3"], "interpolation has no parameter watershed; it takes: none"),
        (["--context-drop", "none,window=inf"], "a whole number of tokens for its window, got inf"),
        (["--context-drop", "none,window=nan"], "a whole number of tokens for its window, got nan"),
        (["--steps", "1000000000000"], "--steps must be at most 100000"),
        (["--width", "9" * 20], "--width must be at most 100000 pixels"),
        (["--train-size", "9" * 11], "--train-size must be at most 100000 pixels"),
        (["--batch", "9" * 11], "--batch must be at most 10000"),
        (["--width", "0"], "--width must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be between 0 and"),
        (["--channels", "9"], "--channels must be between 1 and the model's 3, got 9"),
        (["--device", "abacus"], "--device abacus cannot be used here"),
        (["--denoise", "0.5"], "--denoise goes with --image"),
        (["--image", "gone.png"], "--image gone.png does not exist"),
        (["--image", __file__], "is no picture that PIL can read"),
        (["-o", "picture.jpg"], "--output must end in .png"),
        (["-o", "nowhere/picture.png"], "the folder of --output does not exist"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(arguments, message, fails):
    assert message in fails("generate", "a fox", *arguments)
    assert list(Path().iterdir()) == []


def test_a_latent_model_without_vae_says_where_to_get_one(latent_model, fails):
    assert "lumina-next download sdxl-vae" in fails("generate", "a fox", "--model", latent_model)


def test_a_multi_view_model_is_refused(latent_model, vae, fails):
    save_model(MultiViewNextDiT.from_image_model(load_model(latent_model)), "views.safetensors")
    said = fails("generate", "a fox", "--model", "views.safetensors", "--vae", vae, *QUICK)
    assert "views.safetensors: it is a multi-view Next-DiT, expected a text-to-image Next-DiT" in said


def test_nan_weights_are_reported_not_drawn(latent_model, vae, capsys):
    model = load_model(latent_model)
    with torch.no_grad():
        model.final_layer.linear.weight.fill_(torch.nan)
    save_model(model, latent_model)
    arguments = ("--model", latent_model, "--vae", vae, "--width", "32", "--height", "32", *QUICK)
    assert main(["generate", "a fox", *map(str, arguments)]) == 2
    assert "NaN or infinite values; try --dtype fp32" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_full_disk_leaves_the_old_picture(monkeypatch, capsys):
    generate("a fox")
    before = Path("lumina-next.png").read_bytes()

    def half(image, file, *_, **__):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    assert main(["generate", "a hen", *QUICK, "--overwrite"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [file.name for file in Path().iterdir()] == ["lumina-next.png"]
    assert Path("lumina-next.png").read_bytes() == before


def test_a_picture_is_painted_over(tmp_path):
    Image.new("RGB", (48, 32), "red").save("red.png")
    generate("fox", "--image", "red.png", "--denoise", "0.5", "-o", "fox.png")
    drawn = text_to_image(
        "fox", image=Image.open("red.png"), denoise=0.5, sampling=Sampling(2), models=Models(device="cpu")
    )
    with Image.open("fox.png") as image:
        assert image.tobytes() == drawn.tobytes()
        told = json.loads(image.text["parameters"])
    assert (told["image"], told["denoise"], told["width"], told["height"]) == ("red.png", 0.5, 48, 32)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lumina-next {VERSION}\n"


def test_help_needs_no_torch():
    check = (
        "import sys; from lumina_next.cli import main\ntry: main(['--help'])\nfinally: sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True).returncode == 0


def test_context_drop_is_that_of_the_model():
    size = ("--width", "48", "--height", "32", "--cfg", "1", "--schedule", "uniform", "--dtype", "fp32")
    model = load_model(DEMO / "diffusion_models" / "lumina-next-demo.safetensors", dtype=torch.float32)
    text, _ = load_text_encoder(DEMO / "text_encoders" / "lumina-next-demo")(["fox"])
    x = torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for t in (0.0, 0.5):
            x = x + 0.5 * model(x, torch.tensor([t]), text, drop=ContextDrop(2, "none", end=0.4))
    expected = ((x[0].clamp(-1, 1) + 1) * 127.5).round().int().permute(1, 2, 0)
    generate("fox", *size, "--context-drop", "none,end=0.4")
    assert (pixels("lumina-next.png") - expected).abs().max() <= 1
    generate("fox", *size, "-o", "whole.png")
    assert (pixels("whole.png") - expected).abs().max() > 1


def test_two_processes_make_the_pictures_of_one():
    """Above the training size, with scaled RoPE, context drop and a list of prompts."""
    Path("prompts.txt").write_text("fox\n猫\n", "utf-8")
    size = ["--width", "96", "--height", "84", "--dtype", "fp32"]
    arguments = ["--prompts", "prompts.txt", *size, "--context-drop", "linear,window=2", *QUICK]
    assert main(["generate", *arguments, "-o", "one"]) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "lumina_next.cli", "generate", *arguments, "-o", "two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout) == (0, "two/0001.png\ntwo/0002.png\n"), done.stderr
    for name in ("0001.png", "0002.png"):
        assert (pixels(f"one/{name}") - pixels(f"two/{name}")).abs().max() <= 1
