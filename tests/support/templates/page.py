"""The editor's own page as a builder: it knows how each node is saved and how tall it is."""

import json
import time

from lumina_next.tests.support.browser import Browser

READY = "window.app && app.vueAppReady && app.graph && app.extensionManager && true"
RUN = '[data-testid="queue-button"]'
DRAWN = "app.graph.nodes.filter(n => n.type === 'SaveImage').every(n => n.imgs?.[0]?.naturalWidth > 0)"
# Seeds that a new node would draw anew at each run stay as they are.
FLAT = """(async prompt => {
  await app.loadApiJson(prompt, "build");
  for (const node of app.graph.nodes)
    for (const widget of node.widgets ?? []) if (widget.name === "control_after_generate") widget.value = "fixed";
  return app.graph.serialize();
})"""
# Heights without the title: of Nodes 2.0's element, of the canvas node, and of a note's whole text.
HEIGHTS = """app.canvas.graph.nodes.map(node => {
  const element = document.querySelector(`[data-node-id="${node.id}"]`);
  const text = element?.querySelector(".comfy-markdown-content, .comfy-markdown .tiptap");
  const hidden = text ? Math.max(0, text.scrollHeight - text.clientHeight) : 0;
  return [node.id, node.computeSize()[1], element ? element.offsetHeight - 30 + hidden : 0];
})"""
RECTANGLES = """(() => {
  const { scale, offset } = app.canvas.ds;
  const shown = id => document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
  return app.canvas.graph.nodes.map(node => {
    const box = LiteGraph.vueNodesMode ? shown(node.id) : null;
    const [x, y, width, height] = node.boundingRect;
    return box ? [node.title, box.x / scale, box.y / scale, box.width / scale, box.height / scale]
               : [node.title, x, y, width, height];
  });
})()"""


def open_editor(browser: Browser, url: str) -> None:
    browser.open(url)
    browser.wait_for(READY)


def set_renderer(browser: Browser, vue: bool) -> None:
    """Switch between the canvas and Nodes 2.0."""
    setting = f"app.extensionManager.setting.set('Comfy.VueNodes.Enabled', {json.dumps(vue)})"
    browser.evaluate(f"{setting}.then(() => true)")


def open_template(browser: Browser, graph: dict, name: str) -> None:
    """Open a workflow as the template browser does, and wait until it is drawn."""
    call = f"app.loadGraphData({json.dumps(graph)}, true, true, {json.dumps(name)}, {{ openSource: 'template' }})"
    browser.evaluate(f"{call}.then(() => true)")
    settle(browser)


def settle(browser: Browser) -> None:
    """Wait until the nodes' heights have not changed for a moment."""
    last, same = None, 0
    for _ in range(50):
        heights = browser.evaluate(HEIGHTS)
        same = same + 1 if heights == last else 0
        if same == 2:
            return
        last = heights
        time.sleep(0.1)


def flat_graph(browser: Browser, prompt: dict) -> dict:
    """An API prompt as the editor saves it."""
    return browser.evaluate(f"({FLAT})({json.dumps(prompt)})")


def heights(browser: Browser) -> dict[int, float]:
    """How tall each node of the graph on the screen has to be."""
    return {int(node): max(canvas, vue) for node, canvas, vue in browser.evaluate(HEIGHTS)}


def overlaps(browser: Browser) -> list[tuple[str, str]]:
    """The titles of nodes whose rectangles on the screen meet."""
    boxes = browser.evaluate(RECTANGLES)
    return [(one[0], other[0]) for i, one in enumerate(boxes) for other in boxes[i + 1 :] if meet(one[1:], other[1:])]


def meet(one: list[float], other: list[float]) -> bool:
    """Whether two rectangles (x, y, width, height) have a point in common."""
    return all(one[i] < other[i] + other[i + 2] and other[i] < one[i] + one[i + 2] for i in (0, 1))
