"""Write the editor files of workflows/ and subgraphs/: `python -m lumina_next.tests.support.templates.build [NAME …]`.

A name is one of workflows/api; without any all are written, and with --pictures the template browser's pictures too,
from a run of each. It needs a ComfyUI and a Chromium, as the tests do: the editor's own frontend saves the nodes and
measures them.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from lumina_next.tests.support.browser import Browser, find_chromium
from lumina_next.tests.support.checkpoints import write_absent_demo, write_official_stand_ins
from lumina_next.tests.support.comfy_client import ComfyClient
from lumina_next.tests.support.comfy_server import PACK, ComfyServer, find_comfyui

from . import files, page
from .catalogue import BLUEPRINTS, TEMPLATES
from .layout import place, place_inside
from .pictures import draw
from .spec import Blueprint, Template

WORKFLOWS, SUBGRAPHS = PACK / "workflows", PACK / "subgraphs"
# Workflows whose screenshots are kept in docs/, and whether they show Nodes 2.0.
SHOWN = {
    "text_to_image": (True, "editor.png"),
    "larger_than_training": (False, "pictures/editor-larger.webp"),
    "text_to_views": (True, "pictures/editor-views.webp"),
}
RUN_SECONDS = 600
TOAST_SECONDS = 6  # a message about the finished job covers a corner for so long


def prompt_of(template: Template | Blueprint) -> dict:
    """The API file that a template or blueprint is made of."""
    return json.loads((WORKFLOWS / f"api/{template.api}.json").read_text(encoding="utf-8"))


def flat_graph(browser: Browser, prompt: dict) -> tuple[dict, dict[int, float]]:
    """An API prompt as the editor saves it, and how tall its nodes are."""
    page.set_renderer(browser, True)
    flat = page.flat_graph(browser, prompt)
    page.settle(browser)
    return flat, page.heights(browser)


def build(browser: Browser, template: Template) -> dict:
    """The editor file of a template, laid out for both renderers."""
    flat, tall = flat_graph(browser, prompt_of(template))
    graph = files.workflow(flat, template)
    for definition in graph["definitions"]["subgraphs"]:
        place_inside(definition, tall)
    place(graph, template, {})
    for node in graph["nodes"]:
        node["size"][1] = 10  # so that what is measured is what it needs
    page.open_template(browser, graph, "draft")
    place(graph, template, tall | page.heights(browser))
    return graph


def build_blueprint(browser: Browser, blueprint: Blueprint) -> dict:
    """The file of a blueprint."""
    flat, tall = flat_graph(browser, prompt_of(blueprint))
    graph = files.blueprint(flat, blueprint)
    place_inside(graph["definitions"]["subgraphs"][0], tall)
    graph["nodes"][0]["size"] = [340, 60 + 30 * len(graph["nodes"][0]["inputs"])]
    return graph


def write(file: Path, graph: dict) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(graph, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def write_template(browser: Browser, template: Template) -> None:
    """Write the workflow, and its second file for App mode where it has one."""
    graph = build(browser, template)
    write(WORKFLOWS / f"{template.title}.json", graph)
    if template.app:
        write(WORKFLOWS / f"{template.title}.app.json", files.app(graph, template))


def write_picture(client: ComfyClient, template: Template) -> None:
    """Run a workflow and keep what it saves as the template browser's picture."""
    picture = draw(client, template, prompt_of(template))
    for end in ("", ".app") if template.app else ("",):
        picture.save(WORKFLOWS / f"{template.title}{end}.jpg", quality=88, optimize=True)


def write_screenshot(browser: Browser, template: Template) -> None:
    """Keep how a workflow looks in the editor once it has run."""
    vue, name = SHOWN[template.api]
    page.set_renderer(browser, vue)
    graph = json.loads((WORKFLOWS / f"{template.title}.json").read_text(encoding="utf-8"))
    page.open_template(browser, graph, template.title)
    browser.click(page.RUN)
    browser.wait_for(page.DRAWN, seconds=RUN_SECONDS)
    page.settle(browser)
    time.sleep(TOAST_SECONDS)
    picture = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    picture.save(PACK / "docs" / name, quality=82, optimize=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="API files without .json; default: all")
    parser.add_argument("--pictures", action="store_true", help="also the template browser's pictures")
    options = parser.parse_args(arguments)
    known = {each.api for each in (*TEMPLATES, *BLUEPRINTS)}
    if unknown := sorted(set(options.names) - known):
        parser.error(f"unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    comfyui, chromium = find_comfyui(), find_chromium()
    if comfyui is None or chromium is None:
        raise SystemExit("This needs a ComfyUI (set COMFYUI_PATH) and a Chromium on PATH.")
    names = options.names
    templates = [template for template in TEMPLATES if not names or template.api in names]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base, ComfyServer(comfyui, Path(base)) as server:
        write_official_stand_ins(Path(base) / "models")
        write_absent_demo(Path(base) / "models")
        with Browser(chromium, Path(base) / "chromium") as browser:
            page.open_editor(browser, server.url)
            for template in templates:
                write_template(browser, template)
                if options.pictures and template.api in SHOWN:
                    write_screenshot(browser, template)
            for blueprint in BLUEPRINTS:
                if not names or blueprint.api in names:
                    write(SUBGRAPHS / f"{blueprint.title}.json", build_blueprint(browser, blueprint))
        if options.pictures:
            client = ComfyClient(server.url)
            for template in templates:
                write_picture(client, template)
            client.close()


if __name__ == "__main__":
    main(sys.argv[1:])
