"""A picture saved by an earlier version of the pack, commit 7452821, with its workflow inside."""

import base64
from pathlib import Path

import numpy as np
from PIL import Image

from lumina_next.tests.host.test_editor import ERROR_PANEL, PROBLEMS, open_workflow, to_api
from lumina_next.tests.host.test_sharing import DROP
from lumina_next.tests.support.comfy_server import PACK

SAVED = Path(__file__).with_name("saved_by_7452821.png")
CLOSE = 2  # levels of 255: another processor rounds differently


def test_its_workflow_opens_and_draws_the_same(editor, client):
    open_workflow(editor, PACK / "workflows/Text to image.json")
    editor.errors.clear()
    data = base64.b64encode(SAVED.read_bytes()).decode()
    editor.evaluate(f'{DROP}("{data}", "saved.png")')
    editor.wait_for("app.graph.nodes.some(node => node.type === 'KSampler')", seconds=15)
    assert editor.evaluate(PROBLEMS) == [] and editor.errors == [] and not editor.evaluate(ERROR_PANEL)
    (picture,) = client.images(client.run(to_api(editor)))
    with Image.open(SAVED) as saved:
        expected = np.asarray(saved.convert("RGB"))
    assert picture.shape == expected.shape and np.abs(picture.astype(int) - expected).max() <= CLOSE
