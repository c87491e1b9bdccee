"""A real ComfyUI's modules in this process, set up as its main.py does, for tests of single nodes and adapters."""

import importlib
import sys

import pytest

from lumina_next.tests.support.comfy_server import find_comfyui

COMFYUI = find_comfyui()

if COMFYUI is None:
    collect_ignore_glob = ["*test_*.py"]  # they import comfy; tests/host says how to get one
else:
    sys.path.insert(0, str(COMFYUI))
    arguments, sys.argv = sys.argv, [sys.argv[0], "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.model_management  # noqa: F401 - reads the command line
    import utils.install_util  # noqa: F401 - before nodes, which would find comfy/utils.py under this name

    import nodes  # noqa: F401

    sys.argv = arguments


@pytest.fixture(scope="session", autouse=True)
def pack():
    """Register the pack's models, folders and schedulers, as ComfyUI does at start-up."""
    import asyncio

    from lumina_next.nodes import LuminaNextExtension

    asyncio.run(LuminaNextExtension().on_load())


@pytest.fixture(scope="session")
def stock():
    """ComfyUI's module of stock nodes, under whose name pytest has put this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "nodes", raising=False)
        return importlib.import_module("nodes")
