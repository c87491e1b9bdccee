"""What the README shows works and is there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lumina_next.cli.download import WEIGHTS
from lumina_next.demo import FOLDER as DEMO
from lumina_next.tests.support.templates.catalogue import TITLES

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sizes = {}
    for file in tmp_path.iterdir():
        with Image.open(file) as picture:
            sizes[file.name] = picture.size
            assert json.loads(picture.info["parameters"])["model"].startswith("lumina-next-demo")
    cars = {f"car-{number}.png": (32, 32) for number in range(8)}
    small = {"fox.png": (64, 64), "dog.png": (64, 64)}
    assert sizes == {**small, "cat-1.png": (128, 96), "cat-2.png": (128, 96), **cars}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_table_of_files_agrees_with_download(name):
    (row,) = re.findall(rf"^\|.*\| `{name}` \|$", README, flags=re.MULTILINE)
    assert f"`{WEIGHTS[name].folder}/" in row


def test_the_table_of_workflows_is_complete():
    listed = re.findall(r"^\| [^|]+ \| ([^|`]+) \| `(\w+)` \|$", README, flags=re.MULTILINE)
    assert {api: title for title, api in listed} == TITLES and len(listed) == len(TITLES)


def test_the_table_of_nodes_is_complete():
    nodes = (DEMO.parent / "nodes").rglob("*.py")
    shown = {name for file in nodes for name in re.findall(r'display_name="([^"]+)",\n\s+category', file.read_text())}
    assert shown and all(f"| {name} |" in README for name in shown)
