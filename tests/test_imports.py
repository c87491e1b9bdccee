"""Imports go one way: nodes → nodes/adapter → nextdit and samplers; cli → pipelines; benchmarks → training."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nextdit", "samplers", "pipelines", "cli", "nodes", "training", "benchmarks", "launching", "tests")
# A package → what of the pack its modules may import, besides itself.
MAY_IMPORT = {
    "nextdit": set(),
    "samplers": set(),
    "pipelines": {"nextdit", "samplers"},
    "cli": {"pipelines", "nextdit", "samplers"},
    "nodes": {"nextdit", "samplers"},
    "training": {"pipelines", "nextdit", "samplers"},
    "benchmarks": {"training", "pipelines", "nodes", "nextdit", "samplers", "tests.support"},
    "launching": set(),
}
# A folder of nodes/adapter → which others its modules may import.
ADAPTER = {
    "audio": {"host", "models", "text"},
    "host": set(),
    "lora": {"host", "models"},
    "models": {"host", "patches", "text"},
    "patches": {"host", "models"},
    "sampling": {"host"},
    "text": {"host"},
}
COMFYUI = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "execution", "folder_paths", "nodes", "server"}
BY_COMFYUI_ONLY = ("nodes", "tests")


def sources() -> dict[str, Path]:
    """Return the pack's modules, dotted from its root, and their files."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    found = {}
    for file in files:
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


MODULES = sources()


def imported(module: str) -> set[str]:
    """Return what a module imports wherever it stands in the file: the pack's modules dotted from its root."""
    file = MODULES[module]
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("lumina_next.") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])]).removeprefix("lumina_next.")
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in MODULES else base)
    return found


IMPORTS = {module: imported(module) for module in MODULES}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    wrong = []
    for module, names in IMPORTS.items():
        if module.split(".")[0] != package:
            continue
        for name in names & MODULES.keys():
            top = name.split(".")[0]
            allowed = (
                top == package or top in MAY_IMPORT[package] or ".".join(name.split(".")[:2]) in MAY_IMPORT[package]
            )
            wrong += [] if allowed else [f"{module} imports {name}"]
    assert not wrong


@pytest.mark.parametrize("package", [package for package in PACKAGES if package not in BY_COMFYUI_ONLY])
def test_packages_outside_of_nodes_know_nothing_of_comfyui(package):
    own = {name.split(".")[0] for name in MODULES}
    for module, names in IMPORTS.items():
        if module.split(".")[0] == package and package != "benchmarks":
            assert not {name.split(".")[0] for name in names if name not in MODULES} & (COMFYUI - own), module


def test_nodes_reach_comfyui_through_the_adapter():
    """Topics hold schemas and a few lines; what knows ComfyUI's inside is nodes/adapter."""
    for module, names in IMPORTS.items():
        if module.startswith("nodes.") and not module.startswith("nodes.adapter"):
            assert not {name for name in names if name.split(".")[0] in {"comfy", "comfy_extras", "execution"}}, module


def test_only_families_tell_networks_apart():
    """What differs between kinds of models is a field of `Family`, or stands in the family's own files."""
    asks = re.compile(r"isinstance\([^)]*\b(\w*NextDiT|MultiView\w*|LuminaNext\w*)\b|is_multiview")
    own = ("nextdit.models.", "nodes.adapter.models.", "tests.")
    # core's NextDiT is no family of ours, and this is where MODELs are sorted
    wrong = [
        module
        for module, file in MODULES.items()
        if not module.startswith(own) and asks.search(file.read_text(encoding="utf-8")) and "patchable" not in module
    ]
    assert not wrong


@pytest.mark.parametrize("folder", ADAPTER)
def test_the_adapters_folders_keep_apart(folder):
    start = f"nodes.adapter.{folder}."
    for module in (module for module in MODULES if module.startswith(start)):
        others = {name.split(".")[2] for name in IMPORTS[module] & MODULES.keys() if name.startswith("nodes.adapter.")}
        assert others <= {folder} | ADAPTER[folder], module
    assert {module.split(".")[2] for module in MODULES if module.startswith("nodes.adapter.")} == set(ADAPTER)


def test_drawings_know_nothing_of_comfyui_and_the_adapter():
    for module in (module for module in MODULES if module.startswith("nodes.drawing")):
        assert not {name for name in IMPORTS[module] if name.split(".")[0] in COMFYUI - {"nodes"}}, module
        assert not {name for name in IMPORTS[module] if name.startswith("nodes.adapter")}, module


def test_no_module_imports_itself_on_a_detour():
    graph = {
        module: {name for name in names if name in MODULES and name != module} for module, names in IMPORTS.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))
