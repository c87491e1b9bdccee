"""This pack's workflows in Chinese and Japanese: every word of them has a translation, and the editor shows it."""

import json
import re

import pytest

from lumina_next.tests.support.comfy_server import PACK
from lumina_next.tests.support.templates import page

LANGUAGES = ("zh", "ja")
FILES = [file for file in sorted((PACK / "workflows").glob("*.json")) if not file.stem.endswith(".app")]
# Names of settings and methods, languages by their own names, links: the same everywhere.
SAME = re.compile(
    r"[a-z]+(_[a-z0-9]+)+|cfg|vae|denoise|[xy]|[Ee]moji|English|Deutsch|Français|[^\x00-\x7f]+|- .*", re.DOTALL
)


def strings(language: str) -> dict:
    return json.loads((PACK / f"web/workflows/{language}.json").read_text(encoding="utf-8"))


def words_of(graph: dict) -> set[str]:
    """What a user reads of a workflow: titles, labels and the paragraphs of the note."""
    titles = {node["title"] for node in graph["nodes"] if node.get("title")}
    slots = [slot for node in graph["nodes"] for slot in node["inputs"]]
    labels = {re.sub(r" \d+$", "", slot["label"]) for slot in slots if slot.get("label")}
    (note,) = (node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote")
    return titles | labels | set(note.split("\n\n"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_has_a_translation_and_no_other_is_kept(language):
    known, said = strings(language), set()
    for file in FILES:
        said |= words_of(json.loads(file.read_text(encoding="utf-8")))
    assert {word for word in said if not SAME.fullmatch(word)} <= known.keys()
    assert known.keys() <= said, "a translation of what no workflow says"
    for text, translation in known.items():
        assert re.findall(r"https?://[^)]+", text) == re.findall(r"https?://[^)]+", translation)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_editor_shows_it(editor, language):
    first, second = (
        json.loads((PACK / f"workflows/{name}.json").read_text(encoding="utf-8"))
        for name in ("Text to image", "Compose - Regional prompts")
    )
    known, set_language = strings(language), "app.extensionManager.setting.set('Comfy.Locale', '{}').then(() => true)"
    page.open_template(editor, first, "first")
    editor.evaluate(set_language.format(language))
    try:
        # the editor opens what it shows anew when its language changes
        editor.wait_for(f"app.graph.nodes.some(node => node.title === {json.dumps(known['Text to Image'])})")
        page.open_template(editor, second, "second")
        assert known["Two Regions"] in editor.evaluate("app.graph.nodes.map(node => node.title)")
        (note,) = editor.evaluate("app.graph.nodes.filter(n => n.type === 'MarkdownNote').map(n => n.widgets[0].value)")
        assert note.startswith(known["## Compose - Regional prompts"] + "\n\n")
        labels = editor.evaluate("app.graph.nodes.flatMap(n => n.subgraph ? n.widgets.map(w => w.label) : [])")
        assert known["left prompt"] in labels and f"{known['label']} 2" in labels
    finally:
        editor.evaluate(set_language.format("en"))
