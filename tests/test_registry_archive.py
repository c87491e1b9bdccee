"""The archive that `comfy node publish` uploads: git's files less .comfyignore, as comfy-cli's zip_files makes it."""

import ast
import subprocess
import sys
from pathlib import Path

import pathspec
import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the name of the rules that comfy-cli asks for
# What describes the pack, and what some tools look for in the folders of sources.
BESIDES = {"README.md", "LICENSE", "pyproject.toml", "requirements.txt"}
CONFIGURATION = ("ruff.toml",)


def tracked() -> list[str]:
    """The files of git's index, or, as comfy-cli does, all files where there is no git."""
    try:
        found = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        found = "\n".join(file.relative_to(ROOT).as_posix() for file in ROOT.rglob("*") if file.is_file())
    return [name for name in found.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def archive() -> set[str]:
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    spec = pathspec.PathSpec.from_lines("gitwildmatch", patterns)
    return {name for name in tracked() if not spec.match_file(name)}


@pytest.fixture(scope="module")
def setuptools() -> dict:
    if sys.version_info < (3, 11):
        pytest.skip("needs tomllib")
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def imported(file: Path) -> set[Path]:
    """The pack's own files that a module imports, wherever in it."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for place in (base, *(base / alias.name for alias in node.names)):
                found |= {path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()}
    return found


def runtime_modules() -> set[str]:
    """Every module that ComfyUI's import of the pack can reach, with the packages around it."""
    found, waiting = set(), [ROOT / "__init__.py"]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        waiting += imported(file)
        waiting += [folder / "__init__.py" for folder in file.parents if (folder / "__init__.py").is_file()]
    return {file.relative_to(ROOT).as_posix() for file in found if file.is_relative_to(ROOT)}


def served(setuptools: dict) -> set[str]:
    """Every file that the pack shows or hands out: what an installed package has beside its modules."""
    patterns = setuptools["package-data"]["lumina_next"]
    files = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    return files & set(tracked())


def packaged(setuptools: dict) -> set[str]:
    """Every module of the packages that `pip install` of the archive looks for, the command line's among them."""
    folders = [ROOT.joinpath(*package.split(".")[1:]) for package in setuptools["packages"]]
    files = [file for folder in folders if folder != ROOT for file in folder.glob("*.py")]
    return {file.relative_to(ROOT).as_posix() for file in (ROOT / "__init__.py", *files)} & set(tracked())


def test_nothing_that_runs_is_missing(archive):
    modules = runtime_modules()
    assert len(modules) > 20 and modules <= archive, sorted(modules - archive)


def test_nothing_that_is_served_is_missing(archive, setuptools):
    files = served(setuptools)
    assert files <= archive, sorted(files - archive)
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (web,) = (
        node.value.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "WEB_DIRECTORY"
    )
    pages = {name for name in tracked() if (ROOT / name).is_relative_to((ROOT / web).resolve())}
    assert pages and pages <= archive, sorted(pages - archive)
    for folder in ("locales", "workflows", "subgraphs"):  # ComfyUI looks for them under these names
        assert any(name.startswith(f"{folder}/") for name in files)


def test_it_can_be_installed(archive, setuptools):
    assert packaged(setuptools) <= archive and BESIDES <= archive


def test_nothing_else_is_in_it(archive, setuptools):
    rest = archive - runtime_modules() - served(setuptools) - packaged(setuptools) - BESIDES
    assert not {name for name in rest if not name.endswith(CONFIGURATION)}
