"""Files that options name and that are absent, folders or damaged: said with the option's name, in one line."""

import sys
from pathlib import Path

import pytest
from PIL import Image

from lumina_next.demo import VIDEO_MODEL

QUICK = ["--steps", "1", "--cfg", "1"]
COMMANDS = {
    "generate": ["generate", "fox", *QUICK],
    "class": ["class", "fox", *QUICK],
    "points": ["points", "chair", *QUICK],
    "video": ["video", "fox", *QUICK],
    "audio": ["audio", "rain", *QUICK],
    "classify": ["classify", "seen.png"],
}
FILES = [
    ("generate", "--model", "safetensors"),
    ("generate", "--text-encoder", "safetensors"),
    ("generate", "--lora", "safetensors"),
    ("generate", "--image", "png"),
    ("class", "--model", "safetensors"),
    ("points", "--model", "pth"),
    ("points", "--text-encoder", "safetensors"),
    ("points", "--cloud", "ply"),
    ("video", "--model", "safetensors"),
    ("video", "--text-encoder", "safetensors"),
    ("video", "--image", "png"),
    ("video", "--last-image", "png"),
    ("video", "--clip", "gif"),
    ("video", "--clip", "mp4"),
    ("audio", "--model", "safetensors"),
    ("audio", "--text-encoder", "safetensors"),
    ("audio", "--sound", "wav"),
    ("audio", "--sound", "flac"),
    ("audio", "--vocoder", "pt"),
    ("classify", "--model", "safetensors"),
    ("classify", "--like", "png"),
]


@pytest.fixture(autouse=True)
def seen():
    Image.new("RGB", (32, 32)).save("seen.png")


@pytest.mark.parametrize(("command", "option", "ending"), FILES)
def test_an_option_is_named_with_its_file(command, option, ending, fails):
    absent, folder, damaged, link = (f"{name}.{ending}" for name in ("absent", "folder", "damaged", "link"))
    Path(folder).mkdir()
    Path(damaged).write_bytes(b"neither this nor that\n" * 20)
    Path(link).symlink_to("nowhere")
    for file in (absent, folder, damaged, link, f"{damaged}/inside.{ending}", f"{'x' * 300}.{ending}"):
        said = fails(*COMMANDS[command], option, file)
        assert said.startswith(f"lumina-next: {option} {file}") and "since it was listed" not in said
    if option != "--vocoder":  # which is a folder's, of two files
        assert "does not exist" in fails(*COMMANDS[command], option, absent)


def test_a_link_that_leads_nowhere_says_where(fails):
    Path("gone.safetensors").symlink_to("moved/away.safetensors")
    said = "--model gone.safetensors does not exist (it is a link to moved/away.safetensors, which is gone)"
    assert said in fails("generate", "fox", "--model", "gone.safetensors")


def test_prompts_are_named_too(fails):
    Path("file.txt").write_text("a fox")
    assert "--prompts file.txt/x: Not a directory" in fails("generate", "--prompts", "file.txt/x")


def test_a_vae_is_looked_at_before_any_picture_is_made(latent_model, fails):
    def said(vae: str) -> str:
        return fails("generate", "fox", *QUICK, "--model", latent_model, "--vae", vae)

    Path("folder").mkdir()
    Path("damaged.safetensors").write_bytes(b"no weights at all")
    Path("text.safetensors").write_bytes(VIDEO_MODEL.read_bytes())
    assert "--vae gone.safetensors does not exist" in said("gone.safetensors")
    assert "--vae folder has no VAE; looked for" in said("folder")
    assert "--vae damaged.safetensors is not a whole safetensors file" in said("damaged.safetensors")
    assert "--vae text.safetensors: not an SDXL VAE" in said("text.safetensors")


def test_a_vocoder_that_cannot_be_read_is_not_called_a_model(fails):
    Path("voc").mkdir()
    Path("voc/args.yml").write_text("num_mels: 80")
    Path("voc/best_netG.pt").write_bytes(b"no weights")
    said = fails("audio", "rain", "--vocoder", "voc")
    assert said.startswith("lumina-next: --vocoder voc/best_netG.pt") and said.count("best_netG.pt") == 1


def test_a_folder_with_a_pictures_ending_is_none(capsys, fails):
    Path("folder.png").mkdir()
    assert "folder.png holds no pictures" in fails("classify", "folder.png")
    Path("all/more.png").mkdir(parents=True)
    assert "all holds no pictures" in fails("classify", "all")


def test_a_clip_without_pyav_is_one_line(monkeypatch, fails):
    Path("clip.mp4").write_bytes(b"whatever")
    monkeypatch.setitem(sys.modules, "av", None)
    assert "PyAV reads and writes MP4 files: pip install av" in fails(
        *COMMANDS["video"], "--clip", "clip.mp4", "-o", "a.gif"
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("device", ["meta", "privateuseone", "fpga", "abacus", "", "cuda:99", "cpu:x"])
def test_a_device_that_cannot_compute_is_told_with_those_that_can(command, device, fails):
    said = fails(*COMMANDS[command], "--device", device)
    name = device or "''"
    assert said.startswith(f"lumina-next: --device {name} cannot be used here") and "what there is: cpu" in said
    assert len(said) < 300
