"""The worked example of CONTRIBUTING.md: only the files of the recipe make a family that loads, samples and trains."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lumina_next.tests.support.comfy_server import find_comfyui
from lumina_next.tests.training.conftest import cache, text_encoder_folder  # noqa: F401 - fixtures

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("nextdit", "samplers", "pipelines", "nodes", "cli", "training", "tests/support", "demo", "workflows")
BLOCK = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.S)


def copy_with_toy(pack: Path) -> None:
    """Copy the pack, and do what CONTRIBUTING.md says: its files, and the family's entry."""
    pack.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, pack / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for file in ROOT.glob("*.py"):
        shutil.copy(file, pack)
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    files = ["nextdit/models/toy.py", "nodes/adapter/models/toy.py", "training/tasks/toy.py"]
    assert [name for name, _ in blocks] == files
    for name, code in blocks:
        (pack / name).write_text(code, "utf-8")
    families = pack / "nextdit" / "families.py"
    text = families.read_text("utf-8")
    for place, entry in (("from .models import ", "toy, "), ("    multiview.FAMILY,", "\n    toy.FAMILY,")):
        assert text.count(place) == 1
        text = text.replace(place, place + entry)
    families.write_text(text, "utf-8")


def test_the_recipe_makes_a_family(tmp_path, cache, text_encoder_folder):  # noqa: F811 - fixtures
    copy_with_toy(tmp_path / "lumina_next")
    module = "lumina_next.tests.support.new_family"
    command = [sys.executable, "-m", module, cache, text_encoder_folder, tmp_path / "run"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "COMFYUI_PATH": str(find_comfyui())}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip().endswith("a new family works")
