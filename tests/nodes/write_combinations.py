"""Write docs/combinations.md from the composition matrix: `python -m lumina_next.tests.nodes.write_combinations`."""

from . import conftest  # noqa: F401 - finds ComfyUI, before the others import it

# isort: split
from lumina_next.tests.support.matrix import DOC, document
from lumina_next.tests.support.matrix_columns import COLUMNS

if __name__ == "__main__":
    DOC.write_text(document(COLUMNS), encoding="utf-8")
