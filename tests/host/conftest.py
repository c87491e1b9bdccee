"""Fixtures for tests that need a real ComfyUI; without one they are skipped, loudly, or fail when it is required."""

import os
from pathlib import Path

import pytest

from lumina_next.tests.support.browser import NAMES, Browser, find_chromium
from lumina_next.tests.support.checkpoints import write_absent_demo, write_official_stand_ins, write_untrained
from lumina_next.tests.support.comfy_client import ComfyClient
from lumina_next.tests.support.comfy_server import HOW_TO_GET_ONE, ComfyServer, find_comfyui

HERE = Path(__file__).parent
REQUIRED = os.environ.get("LUMINA_REQUIRE_COMFYUI") == "1"
ABSENT = f"HOST TESTS SKIPPED: no ComfyUI found; to run them, {HOW_TO_GET_ONE}"

NO_BROWSER = f"EDITOR TESTS SKIPPED: none of {', '.join(NAMES)} is on PATH; to run them, install Chromium"


def pytest_collection_modifyitems(items):
    if find_comfyui() is None and not REQUIRED:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=ABSENT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Show the end of the server's log beside every failure of a host test."""
    report = (yield).get_result()
    server = getattr(item.session, "_comfy_server", None)
    if report.failed and server is not None and HERE in item.path.parents:
        report.sections.append(("ComfyUI log, last 40 lines", server.log(40)))


@pytest.fixture(scope="session")
def comfyui() -> Path:
    """The folder of the ComfyUI under test."""
    found = find_comfyui()
    if found is None:
        pytest.fail(f"LUMINA_REQUIRE_COMFYUI=1, but no ComfyUI was found; {HOW_TO_GET_ONE}")
    return found


@pytest.fixture(scope="session")
def server(comfyui, tmp_path_factory, request):
    """One server with the pack for the whole session; `modules_at_start` holds what it imported before any prompt."""
    base = tmp_path_factory.mktemp("comfyui")
    write_untrained(base / "models")
    write_absent_demo(base / "models")
    with ComfyServer(comfyui, base) as running:
        running.modules_at_start = set(running.get("/probe/modules"))
        request.session._comfy_server = running
        yield running
        request.session._comfy_server = None


@pytest.fixture
def client(server):
    """A client of its own for each test, so that events of one test cannot reach another."""
    client = ComfyClient(server.url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def official_files(server) -> None:
    """Stand-ins for the official weights, under the names that the workflows ask for."""
    write_official_stand_ins(server.base / "models")


@pytest.fixture(scope="module")
def editor(server, official_files, tmp_path_factory):
    """The server's own frontend, open in a headless Chromium; closed after each file, as it draws all the time."""
    executable = find_chromium()
    if executable is None:
        pytest.skip(NO_BROWSER)
    with Browser(executable, tmp_path_factory.mktemp("chromium")) as browser:
        browser.open(server.url)
        browser.wait_for("window.app && app.vueAppReady && app.graph && app.extensionManager && true")
        yield browser
