"""What a package of this repository holds, and that its modules import each other relatively."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_PACKAGED = {"tests", "benchmarks", "training", "docs", "web", "output", "build", "dist", "launching", "launch.py"}
MODULES = [
    file
    for file in sorted(ROOT.rglob("*.py"))
    if file.relative_to(ROOT).parts[0] not in NOT_PACKAGED | {".venv", ".launch"}
]


@pytest.fixture(scope="module")
def pyproject() -> dict:
    if sys.version_info < (3, 11):
        pytest.skip("needs tomllib")
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed(pyproject):
    folders = {file.parent.relative_to(ROOT) for file in MODULES}
    assert {".".join(("lumina_next", *folder.parts)) for folder in folders} == set(
        pyproject["tool"]["setuptools"]["packages"]
    )


def test_the_registry_gets_what_it_asks_for(pyproject):
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,98}", project["name"]) and "comfyui" not in project["name"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert (ROOT / project["license"]["file"]).is_file()
    assert project["urls"]["Repository"] and comfy["PublisherId"] and comfy["requires-comfyui"]
    frontend = next(d for d in project["dependencies"] if d.startswith("comfyui-frontend-package"))
    assert re.fullmatch(r"[a-z-]+>=[\d.]+", frontend), "an upper bound would downgrade a user's editor"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_own_modules_are_imported_relatively(file):
    """In ComfyUI the pack has another name, and `nodes` and `samplers` are ComfyUI's own."""
    ours = {"lumina_next", *(folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file())}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        assert not ours & {name.split(".")[0] for name in names}, f"line {node.lineno}"
