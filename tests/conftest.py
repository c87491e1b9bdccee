"""How the tests are shared out when they run in several processes (pytest-xdist), and what is said at the end."""

from importlib.util import find_spec

import pytest

from lumina_next.tests.support.browser import NAMES, find_chromium
from lumina_next.tests.support.comfy_server import HOW_TO_GET_ONE, find_comfyui

# The longest first, so that at the end no process waits for another.
ORDER = ("host", "benchmarks", "nodes", "training", "cli", "", "pipelines", "samplers", "nextdit")
EDITOR = ("host/test_editor.py", "host/test_sharing.py")  # need a browser, too


def share(name: str) -> str:
    """Return what is never split between processes: a file, whose fixtures serve all its tests, and one server's tests.

    `name` is a test's id or its path under tests/.
    """
    file = name.split("::")[0]
    return "editor" if file in EDITOR else "host" if file.startswith("host/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process whole shares, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share(nodeid)

    config.option.loadscopereorder = False  # which would go by the number of tests
    return Shares(config, log)


def pytest_collection_modifyitems(items):
    def place(item) -> tuple[int, bool]:
        folder, inside, _ = item.nodeid.split("::")[0].partition("/")
        folder = folder if inside else ""
        return ORDER.index(folder) if folder in ORDER else len(ORDER), share(item.nodeid) == "host"

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter):
    """Say loudly what this machine could not test."""
    absent = [name for name in ("trimesh", "embreex") if find_spec(name) is None]
    lines = [f"MULTI-VIEW DATA NOT TESTED: to test it, pip install {' '.join(absent)}"] if absent else []
    if find_comfyui() is None:
        lines.append(f"NOTHING WAS TESTED IN COMFYUI: to do it, {HOW_TO_GET_ONE}")
    elif find_chromium() is None:
        lines.append(f"THE EDITOR WAS NOT TESTED: to do it, install Chromium (none of {', '.join(NAMES)} is on PATH)")
    for line in lines:
        terminalreporter.write_line(line, yellow=True, bold=True)
