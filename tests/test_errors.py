"""What errors look like: one sentence, which begins small unless with a name, and ends without a full stop."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nextdit", "samplers", "nodes", "training", "benchmarks")
WORDED = {"ValueError", "RuntimeError", "FileNotFoundError", "ImportError", "WrongLora", "UnreadFormat"}
# What may stand first with a capital letter: names of nodes, models and programs, and constants.
NAMES = r"Flow Sampler|Load Lumina-Next LoRA|Lumina-Next|Muon|NextDiTConfig|Qwen|Regional Prompt|RoPE|Scaled RoPE"


def messages() -> Iterator[tuple[str, str]]:
    """Yield where an error is raised and its words, with {} for what is filled in."""
    for file in (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            raised = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(raised, ast.Call) and getattr(raised.func, "id", None) in WORDED and raised.args:
                words = raised.args[0]
                parts = words.values if isinstance(words, ast.JoinedStr) else [words]
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
                yield f"{file.relative_to(ROOT).as_posix()}:{node.lineno}", text


@pytest.mark.parametrize("package", PACKAGES)
def test_errors_are_one_sentence(package):
    found = {place: text for place, text in messages() if place.startswith(f"{package}/")}
    lists = {place for place, text in found.items() if "\n" in text}  # a report, line by line
    wrong = {
        place: text
        for place, text in found.items()
        if place not in lists
        and (text.endswith(".") or re.search(r"[^.…]\. [A-Z]", text) or re.match(rf"(?!{NAMES})[A-Z][a-z]", text))
    }
    assert not wrong
