"""Files and forwards stay small enough to be read in one go."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Public faces whose options, all by keyword, are of two kinds: what is seen, and what a call may change.
FACES = {("nextdit/models/multiview.py", "forward"): 11, ("nextdit/models/video.py", "forward"): 9}
SKIPPED = {".venv", ".launch", "build", "dist"}


def sources() -> list[Path]:
    files = sorted(ROOT.rglob("*.py"))
    return [file for file in files if not SKIPPED & set(file.relative_to(ROOT).parts)]


def test_no_file_has_more_than_300_lines():
    long = {file.relative_to(ROOT).as_posix(): len(file.read_text("utf-8").splitlines()) for file in sources()}
    assert not {name: lines for name, lines in long.items() if lines > 300}


def test_no_forward_of_the_networks_has_more_than_40_lines_or_7_arguments():
    wrong = []
    for file in sorted((ROOT / "nextdit").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in ("forward", "velocity"):
                arguments = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                name = file.relative_to(ROOT).as_posix()
                if node.end_lineno - node.lineno >= 40 or len(set(arguments) - {"self"}) > FACES.get(
                    (name, node.name), 7
                ):
                    wrong.append(f"{name}: {node.name} of {len(arguments)} arguments")
    assert not wrong
