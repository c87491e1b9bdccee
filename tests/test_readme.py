"""What the README shows works and is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lumina_next.cli.download import WEIGHTS
from lumina_next.cli.generate import DEMO

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    check = code + "\nassert pixels.shape == (1, 3, 64, 64) and pixels.isfinite().all()\n"
    done = subprocess.run([sys.executable, "-c", check], cwd=DEMO.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_table_of_files_agrees_with_download(name):
    (row,) = re.findall(rf"^\|.*\| `{name}` \|$", README, flags=re.MULTILINE)
    assert f"`{WEIGHTS[name].folder}/" in row


def test_the_table_of_workflows_is_complete():
    listed = set(re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE))
    assert listed == {file.stem for file in (DEMO.parent / "workflows").glob("*.json")}


def test_the_table_of_nodes_is_complete():
    nodes = (DEMO.parent / "nodes").glob("*.py")
    shown = {name for file in nodes for name in re.findall(r'display_name="([^"]+)",\n\s+category', file.read_text())}
    assert shown and all(f"| {name} |" in README for name in shown)
