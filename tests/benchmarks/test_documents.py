"""The pages in docs/: what stored results say, in tables and lines of a readable width, with small pictures."""

import re
import shutil
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

import pytest

from lumina_next.benchmarks.context_drop import run as context_drop
from lumina_next.benchmarks.few_steps import run as few_steps
from lumina_next.benchmarks.quality import run as quality
from lumina_next.benchmarks.regions import run as regions
from lumina_next.benchmarks.shared import plot, report
from lumina_next.benchmarks.sizes import run as sizes

ROOT = Path(__file__).parents[2]
DOCS, RESULTS, NOTES = ROOT / "docs", ROOT / "benchmarks/results", ROOT / "benchmarks/notes"
PAGES = sorted(file.name for file in DOCS.glob("*.md") if file.name != "combinations.md")  # that one is a matrix
LINKING = sorted(
    file
    for folder, pattern in (
        (".", "*.md"),
        ("docs", "*.md"),
        ("demo", "*.md"),
        ("benchmarks", "**/*.md"),
        ("web", "**/*.md"),
    )
    for file in (ROOT / folder).glob(pattern)
)
COMMANDS = {
    "quality": (quality, "quality.md"),
    "sizes": (sizes, "larger_sizes.md"),
    "context_drop": (context_drop, "context_drop.md"),
    "few_steps": (few_steps, "few_steps.md"),
    "regions": (regions, "regions.md"),
    "views": ("views", "multi_view.md"),
    "points": ("points", "points.md"),
    "recognition": ("recognition", "recognition.md"),
    "classes": ("classes", "family_tree.md"),
    "video": ("video", "video.md"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_redrawn_from_the_stored_results_nothing_changes(tmp_path, name):
    module, page = COMMANDS[name]
    if isinstance(module, str):
        pytest.importorskip("trimesh")
        module = import_module(f"lumina_next.benchmarks.{module}.run")
    document = shutil.copy(DOCS / page, tmp_path / "page.md")
    shutil.copy(RESULTS / f"{name}.json", tmp_path)
    folders = ["--grids", "--page"] if name == "regions" else ["--pictures", "--document"]
    module.main(["--redraw", "--results", str(tmp_path), folders[0], str(tmp_path), folders[1], str(document)])
    assert Path(document).read_text("utf-8") == (DOCS / page).read_text("utf-8")
    for ending in ("md", "json"):
        assert (tmp_path / f"{name}.{ending}").read_text("utf-8") == (RESULTS / f"{name}.{ending}").read_text("utf-8")


def test_nothing_is_redrawn_from_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to redraw: no .*quality.json"):
        quality.main(["--redraw", "--results", str(tmp_path)])
    assert report.stored_results(tmp_path, "quality") == ({}, {})


@pytest.mark.parametrize("page", PAGES)
def test_a_page_answers_in_its_first_lines_with_narrow_tables(page):
    lines = (DOCS / page).read_text("utf-8").splitlines()
    assert page == "README.md" or (lines[0].startswith("# ") and lines[0].endswith("?"))
    assert max(line.count("|") - 1 for line in lines) <= report.SHORT_COLUMNS
    assert [line for line in lines if len(line) > report.WIDTH and not line.startswith("|")] == []


@pytest.mark.parametrize("file", LINKING, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file):
    text = file.read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for target, _, anchor in (link.partition("#") for link in links if not link.startswith(("http:", "https:"))):
        there = (file.parent / unquote(target)).resolve() if target else file
        assert there.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_pictures_are_small_and_all_are_shown():
    text = "".join(file.read_text("utf-8") for file in [*DOCS.glob("*.md"), *NOTES.glob("*.md")])
    for picture in (DOCS / "pictures").iterdir():
        assert picture.stat().st_size < 300_000 and f"pictures/{picture.name})" in text, picture.name
    assert (DOCS / "editor.png").stat().st_size < 300_000


def test_short_tables_leave_out_intervals_and_columns():
    row = {"method": "a", "identity": {"value": 98.44, "low": 91, "high": 99}, "psnr": {"value": 24.06}, "n": 3}
    row |= {"edges": {"value": -0.001}, "seconds": 1.234}
    assert report.brief([row]).splitlines() == [
        "| method | right object, % | PSNR, dB ↑ | n | edge distance ↓ |",
        "| --- | --- | --- | --- | --- |",
        "| a | 98.4 | 24.1 | 3 | 0.00 |",
    ]
    assert report.brief([row], ["method", "objects", "seconds"]).splitlines()[2] == "| a | 1.23 |"


def test_the_speed_of_a_step_is_drawn(tmp_path):
    rows = [{"tokens": 4, "ours, s": 1.0, "diffusers, s": 2.0, "ours peak, MiB": 3.0, "diffusers peak, MiB": 4.0}]
    plot.plot_speed(tmp_path / "speed.svg", {"1 thread": rows})
    assert (tmp_path / "speed.svg").read_text("utf-8").startswith("<?xml")
