"""Remake what is derived from the editor files: workflows/api/*.json, workflows/*.jpg and docs/editor.png.

`python -m lumina_next.tests.host.refresh [NAME …]` after a workflow has been edited and saved over its file. It needs a
ComfyUI and a Chromium, as the tests do. Workflows of the official weights are only drawn, on stand-ins, not run.
"""

import io
import json
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from lumina_next.tests.support.browser import Browser, find_chromium
from lumina_next.tests.support.checkpoints import write_official_stand_ins
from lumina_next.tests.support.comfy_server import PACK, ComfyServer, find_comfyui

from .test_editor import FILES, OFFICIAL, RUN, open_workflow, to_api

DRAWN = "app.graph.nodes.filter(n => n.type === 'SaveImage').every(n => n.imgs?.[0]?.naturalWidth > 0)"
READY = "window.app && app.vueAppReady && app.graph && app.extensionManager && true"
ONE_TAB = """(async () => {
  const tabs = app.extensionManager.workflow;
  await tabs.closeWorkflow(tabs.openWorkflows[0], { warnIfUnsaved: false });
})()"""
# The rectangle on screen that the nodes and the titles of their groups fill.
EXTENT = """(() => {
  const box = ({ pos, size }) => [...pos, pos[0] + size[0], pos[1] + size[1]];
  const boxes = [...app.graph.nodes, ...app.graph.groups].map(box);
  const at = (side, pick) => pick(...boxes.map(box => box[side]));
  const { scale, offset } = app.canvas.ds, canvas = app.canvas.canvas.getBoundingClientRect();
  const x = v => (v + offset[0]) * scale + canvas.x, y = v => (v + offset[1]) * scale + canvas.y;
  return [x(at(0, Math.min) - 20), y(at(1, Math.min) - 20), x(at(2, Math.max) + 20), y(at(3, Math.max) + 20)];
})()"""
TOAST_SECONDS = 6
RUN_SECONDS = 900  # a grid of larger pictures takes minutes on a CPU


def refresh(server: ComfyServer, file: Path) -> None:
    """Remake what belongs to one editor file, in a browser of its own."""
    with Browser(find_chromium(), server.base / f"chromium-{file.stem}") as browser:
        browser.open(server.url)
        browser.wait_for(READY)
        open_workflow(browser, file)
        browser.evaluate(ONE_TAB)
        if file not in OFFICIAL:
            api = json.dumps(to_api(browser), indent=2, ensure_ascii=False)
            (file.parent / "api" / file.name).write_text(api + "\n", encoding="utf-8")
            browser.click(RUN)
            browser.wait_for(DRAWN, seconds=RUN_SECONDS)
        browser.evaluate("app.extensionManager.command.execute('Comfy.Canvas.FitView').then(() => true)")
        time.sleep(TOAST_SECONDS)
        screen = browser.screenshot()
        if file.stem == "text_to_image":
            (PACK / "docs").mkdir(exist_ok=True)
            (PACK / "docs/editor.png").write_bytes(screen)
        picture = Image.open(io.BytesIO(screen)).convert("RGB").crop([round(v) for v in browser.evaluate(EXTENT)])
        picture.save(file.with_suffix(".jpg"), quality=86, optimize=True)


def main(names: list[str]) -> None:
    comfyui = find_comfyui()
    if comfyui is None or find_chromium() is None:
        raise SystemExit("This needs a ComfyUI (set COMFYUI_PATH) and a Chromium on PATH.")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base, ComfyServer(comfyui, Path(base)) as server:
        write_official_stand_ins(Path(base) / "models")
        for file in FILES:
            if not names or file.stem in names:
                refresh(server, file)


if __name__ == "__main__":
    main(sys.argv[1:])
