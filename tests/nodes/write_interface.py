"""Write tests/nodes/interface.json: `python -m lumina_next.tests.nodes.write_interface`."""

import json

from . import conftest  # noqa: F401 - finds ComfyUI, before the others import it

# isort: split
from .interface import FILE, describe

if __name__ == "__main__":
    FILE.write_text(json.dumps(describe(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
