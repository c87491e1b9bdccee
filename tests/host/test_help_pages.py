"""The help pages in the editor's own Info panel, as narrow as it gets: nothing is wider, names are the nodes' own."""

import json

import pytest

from lumina_next.tests.host.test_search import STORE
from lumina_next.tests.host.test_server import INTERFACE, NODES
from lumina_next.tests.support.comfy_server import PACK

WIDTH = 272
HELP = "document.querySelector('.node-help-content')"
SHOW = f"""(type => {{
  app.graph.clear();
  const node = LiteGraph.createNode(type);
  app.graph.add(node);
  app.canvas.selectItems([node]);
  {STORE}('canvas').updateSelectedItems();
  {STORE}('rightSidePanel').openPanel('info');
}})"""
WIDER = f"""(() => {{
  const help = {HELP}, all = [help, ...help.querySelectorAll('*')], right = help.getBoundingClientRect().right;
  help.style.width = '{WIDTH}px';
  const wide = element => element.scrollWidth > element.clientWidth && getComputedStyle(element).display !== 'inline';
  const out = element => element.getBoundingClientRect().right > help.getBoundingClientRect().right + 1;
  return all.filter(element => wide(element) || out(element)).map(element => element.textContent.slice(0, 60));
}})()"""


@pytest.fixture(scope="module")
def panel(editor):
    """The editor with its Info panel; afterwards in English and closed, as it was."""
    editor.wait_for(f"{STORE}('rightSidePanel') && {STORE}('nodeDef').nodeSearchService && true")
    yield editor
    set_language(editor, "en")
    editor.evaluate(f"{STORE}('rightSidePanel').closePanel()")
    editor.evaluate("app.graph.clear()")


def set_language(editor, language: str) -> None:
    editor.evaluate(f"app.extensionManager.setting.set('Comfy.Locale', '{language}').then(() => true)")


def show(editor, node: str, title: str) -> None:
    """Select a node alone and wait for its page; a change of language first loses the selection."""
    shown = f"{HELP}?.querySelector('h1')?.textContent.trim() === {json.dumps(title)}"
    for attempt in range(6):
        editor.evaluate(f"{SHOW}('{node}')")
        try:
            return editor.wait_for(shown, seconds=4)
        except TimeoutError:
            if attempt == 5:
                raise


def page(node: str, language: str) -> str:
    name = f"{node}.md" if language == "en" else f"{node}/{language}.md"
    return (PACK / "web/docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_no_page_is_wider_than_the_panel(panel, language):
    set_language(panel, language)
    for node in sorted(NODES):
        show(panel, node, page(node, language).splitlines()[0].removeprefix("# "))
        assert panel.evaluate(WIDER) == [], (node, language)


def test_a_table_would_be_noticed(panel):
    set_language(panel, "en")
    show(panel, "LuminaNextGridMask", "Grid Mask")
    row = "".join(f"<td><code>models/text_encoders_{n}</code></td>" for n in range(3))
    panel.evaluate(f"{HELP}.insertAdjacentHTML('beforeend', '<table><tr>{row}</tr></table>')")
    assert panel.evaluate(WIDER)


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_titles_and_inputs_are_called_as_the_node_shows_them(language):
    strings = json.loads((PACK / f"locales/{language}/nodeDefs.json").read_text(encoding="utf-8"))
    for node in NODES:
        text = page(node, language)
        assert text.splitlines()[0] == f"# {strings[node]['display_name']}", (node, language)
        assert "|" not in text.replace("||", ""), f"{node} in {language} has a table"
        inputs, own = strings[node]["inputs"], {entry["id"] for entry in INTERFACE[node]["inputs"]}
        for name, entry in inputs.items():
            if name[-2:] in ("_2", "_3"):  # of a row that is told by its first and its last
                continue
            choice = None if name in own else next((other for other in inputs if name.startswith(f"{other}_")), None)
            identifier = name.removeprefix(f"{choice}_") if choice else name  # inputs of one option of a choice
            assert f"`{identifier}`" in text and entry["name"] in text, (node, language, name)
