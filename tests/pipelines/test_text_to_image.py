"""Requests for pictures: what they refuse, what they fill in, and that they are the command line's pictures."""

import json
import pickle
from dataclasses import FrozenInstanceError

import pytest
import torch
from PIL import Image

from lumina_next.cli import main
from lumina_next.demo import MODEL, MULTIVIEW_MODEL
from lumina_next.nextdit import ContextDrop, NextDiT, RopeScaling, load_model, save_model
from lumina_next.options import OptionError
from lumina_next.pipelines import Models, Sampling, TextToImage, text_to_image, text_to_images
from lumina_next.pipelines.pictures import to_pixels
from lumina_next.pipelines.sampling import features, noise

FEW = Sampling(2)
GREY = Image.new("RGB", (40, 24), "grey")


@pytest.fixture(scope="module")
def models() -> Models:
    return Models(device="cpu")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": 3}, "prompt must be a text, got 3"),
        ({"negative": None}, "negative must be a text, got None"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"height": 64.0}, "height must be a whole number of pixels, got 64.0"),
        ({"train_size": -1}, "train_size must be at least 1, got -1"),
        ({"seeds": ()}, "seeds must be one at least"),
        ({"seeds": (0, 2**63)}, "seed must be between 0 and"),
        ({"seeds": 5}, "seeds must be a list of numbers, got 5"),
        ({"seeds": "5"}, "seeds must be a list of numbers, got '5'"),
        ({"image": "fox.png"}, "image must be a PIL image, got 'fox.png'; PIL.Image.open reads a file"),
        ({"seeds": (True,)}, "seed must be between 0 and"),
        ({"second_pass": 1.0}, "second_pass must be between 0 and 1, got 1"),
        ({"second_pass": float("nan")}, "second_pass must be between 0 and 1, got nan"),
        ({"second_pass": 0.3, "image": GREY}, "leave it out with image"),
        ({"denoise": 0.3}, "denoise goes with image"),
        ({"denoise": 0.0, "image": GREY}, "denoise must be above 0 and at most 1, got 0"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TextToImage(**{"prompt": "fox", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"schedule": "cubic"}, "unknown schedule 'cubic'"),
        ({"parameters": {"beta": 1.0}}, "no parameter beta"),
        ({"solver": "dopri5"}, "unknown solver 'dopri5'"),
        ({"cfg": float("inf")}, "cfg must be a finite number"),
    ],
)
def test_sampling_that_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def test_requests_do_not_change_and_go_to_other_processes():
    parameters = {"alpha": 2.0}
    request = TextToImage("fox", seeds=[1, 2], sampling=Sampling(parameters=parameters))
    parameters["alpha"] = 3.0
    assert request.seeds == (1, 2) and request.sampling.parameters == {"alpha": 2.0}
    with pytest.raises(FrozenInstanceError):
        request.prompt = "hen"
    assert pickle.loads(pickle.dumps(request)) == request


def test_messages_name_options_as_the_caller_does():
    with pytest.raises(OptionError) as caught:
        TextToImage("fox", train_size=0)
    assert caught.value.words(str.upper) == "TRAIN_SIZE must be at least 1, got 0"
    assert str(pickle.loads(pickle.dumps(caught.value))) == "train_size must be at least 1, got 0"


def test_sizes_are_those_of_training_or_of_the_image(models):
    def size(**options):
        found = TextToImage("fox", **options).resolved(models)
        return found.width, found.height

    assert size() == (64, 64) and size(width=80) == (80, 64)
    assert size(image=GREY) == (40, 24)
    assert size(image=Image.new("L", (4000, 1000))) == (128, 32)
    on_its_side = Image.new("RGB", (40, 24))
    on_its_side.getexif()[0x0112] = 6
    assert size(image=on_its_side) == (24, 40) and to_pixels(on_its_side, 24, 40).shape == (1, 3, 40, 24)
    assert TextToImage("fox").resolved(models).train_size == 64


def test_channels_have_to_be_the_models(models):
    with pytest.raises(ValueError, match="channels must be between 1 and the model's 3, got 4"):
        text_to_image("fox", models=models, sampling=Sampling(channels=4))


COMMANDS = {
    "one pass": ([], {}),
    "two passes": (
        ["--width", "96", "--height", "80", "--second-pass", "0.5"],
        {"width": 96, "height": 80, "second_pass": 0.5},
    ),
    "no guidance": (["--cfg", "1", "--seed", "3"], {"cfg": 1.0, "seeds": (3,)}),
    "two seeds": (["--batch", "2", "--negative", "hen"], {"seeds": (0, 1), "negative": "hen"}),
    "all options": (
        "--schedule sigmoid,mu=0.6 --method heun --channels 2 --rope interpolation --width 96 "
        "--context-drop linear,window=3,end=0.5 --dtype fp32 --train-size 48".split(),
        {
            "schedule": "sigmoid",
            "parameters": {"mu": 0.6},
            "solver": "heun",
            "channels": 2,
            "rope": RopeScaling("interpolation"),
            "width": 96,
            "drop": ContextDrop(3, "linear", end=0.5),
            "dtype": torch.float32,
            "train_size": 48,
        },
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_pictures_are_the_command_lines(name, models, tmp_path):
    arguments, options = COMMANDS[name]
    assert main(["generate", "fox", *arguments, "--steps", "2", "--device", "cpu"]) == 0
    options = dict(options)
    if "dtype" in options:
        models = Models(device="cpu", dtype=options.pop("dtype"))
    sampled = {"schedule": "rational", "parameters": {"alpha": 4.0}}
    sampled |= {key: options.pop(key) for key in Sampling.__dataclass_fields__ if key in options}
    pictures = text_to_images(TextToImage("fox", sampling=Sampling(2, **sampled), **options), models)
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == len(pictures)
    for file, picture in zip(files, pictures, strict=True):
        with Image.open(file) as theirs:
            assert theirs.tobytes() == picture.tobytes()
            theirs.load()
            picture.save("ours.png")
            with Image.open("ours.png") as ours:
                told = {key: value for key, value in picture.parameters.items() if key != "dtype"}
                assert ours.text["parameters"] == picture.info["parameters"]
            typed = json.loads(theirs.text["parameters"])
            del typed["dtype"]
            assert list(typed) == list(told) and typed == told


def test_image_to_image_starts_from_the_image(models):
    """Against the parts put together: noise and picture mixed as the flow would, and the rest of the steps."""
    model = load_model(MODEL, dtype=torch.float32)
    exact = Models(device="cpu", dtype=torch.float32)
    text, _ = features(exact.encoder(), ["fox"], [], Sampling(cfg=1))
    x = 0.5 * noise([4], 24, 40) + 0.5 * to_pixels(GREY, 40, 24)
    with torch.inference_mode():
        for t in (0.5, 0.75):
            x = x + 0.25 * model(x, torch.tensor([t]), text)
    seen = []
    sampling = Sampling(4, "uniform", cfg=1)
    drawn = text_to_image(
        "fox",
        seed=4,
        image=GREY,
        denoise=0.5,
        sampling=sampling,
        models=exact,
        progress=lambda done, of: seen.append((done, of)),
    )
    difference = to_pixels(drawn, 40, 24) - x.clamp(-1, 1)
    assert difference.abs().max() < 0.02
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert drawn.parameters["denoise"] == 0.5 and drawn.parameters["image"] == "40×24 pixels"
    whole = text_to_image("fox", seed=4, image=GREY, denoise=1.0, sampling=sampling, models=exact)
    plain = text_to_image("fox", seed=4, width=40, height=24, sampling=sampling, models=exact)
    assert whole.tobytes() == plain.tobytes()


def test_progress_counts_the_steps_of_both_passes(models):
    seen = []
    request = TextToImage("fox", width=80, height=80, second_pass=0.5, sampling=FEW)
    text_to_images(request, models, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 3) for i in range(4)]


def test_progress_may_stop_the_run(models):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text_to_image("fox", models=models, sampling=FEW, progress=stop)


def test_one_model_at_a_time_unless_they_are_kept():
    alone = Models(device="cpu", keep=False)
    kept = Models(device="cpu")
    first, second = (text_to_image("fox", models=m, sampling=FEW) for m in (alone, kept))
    assert first.tobytes() == second.tobytes()
    assert alone.encoder() is not alone.encoder() and kept.encoder() is kept.encoder()


def test_a_model_of_several_views_is_refused():
    with pytest.raises(ValueError, match=r"multiview\.safetensors: it is a multi-view Next-DiT, expected a text"):
        text_to_image("fox", models=Models(MULTIVIEW_MODEL, device="cpu"), sampling=FEW)


def test_a_vae_has_to_be_there_where_it_is_needed_only(models, tmp_path):
    with pytest.raises(ValueError, match="paints pixels and takes no vae"):
        text_to_image("fox", models=Models(vae="vae.safetensors"))
    with pytest.raises(ValueError, match="device abacus cannot be used here"):
        text_to_image("fox", models=Models(device="abacus"))


def test_what_is_not_finite_is_reported(tmp_path):
    model = load_model(MODEL)
    with torch.no_grad():
        model.final_layer.linear.weight.fill_(torch.nan)
    save_model(model, tmp_path / "nan.safetensors", {"train_tokens": "8"})
    with pytest.raises(ValueError, match="NaN or infinite values; try dtype fp32"):
        text_to_image("fox", models=Models(tmp_path / "nan.safetensors", device="cpu"), sampling=FEW)


def test_memory_that_runs_out_is_said_in_words(models, monkeypatch):
    def fail(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(NextDiT, "forward", fail)
    with pytest.raises(
        ValueError, match=r"for 2 pictures at once of 64×64 pixels.*fewer at once \(seeds\), or try dtype"
    ):
        text_to_images(TextToImage("fox", seeds=(1, 2), sampling=FEW), models)


def test_a_compiler_that_fails_is_said_in_words(models, monkeypatch):
    from torch._inductor.exc import InvalidCxxCompiler

    def fails(*_, **__):
        raise InvalidCxxCompiler

    monkeypatch.setattr(models.network("image"), "forward", fails)
    with pytest.raises(
        ValueError, match=r"^torch.compile failed, on a CPU it needs a C\+\+ compiler.*leave out compiled"
    ):
        text_to_images(TextToImage("fox"), models)


def test_compiled_goes_with_one_process():
    with pytest.raises(ValueError, match="^compiled goes with single pictures, each made by one process"):
        text_to_images(TextToImage("fox"), Models(device="cpu", by_rows=True, compiled=True))
