"""The library as somebody finds it: from any folder, with defaults that work, and a version."""

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_one_line_makes_a_picture_in_any_folder_and_says_nothing(tmp_path):
    code = 'from lumina_next.pipelines import text_to_image; text_to_image("fox").save("fox.png")'
    assert run(code, tmp_path) == ""
    with Image.open(tmp_path / "fox.png") as picture:
        assert picture.size == (64, 64) and '"prompt": "fox"' in picture.info["parameters"]


def test_the_version_is_pyprojects_and_costs_nothing(tmp_path):
    code = "import lumina_next, sys; print(lumina_next.__version__, 'torch' in sys.modules, 'PIL' in sys.modules)"
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), flags=re.MULTILINE)
    assert run(code, tmp_path).split() == [version, "False", "False"]


def test_nothing_in_it_parses_arguments_or_draws_bars():
    for file in (ROOT / "pipelines").glob("*.py"):
        assert not re.search(r"\b(argparse|tqdm|print)\b", file.read_text("utf-8")), file
