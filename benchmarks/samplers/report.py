"""The tables of the samplers benchmark."""

import argparse
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ..shared.metrics import mean, rate
from ..shared.report import brief, fill_document, measured_with, settings_text, write_json, write_tables

SAMPLERS = ("euler", "res_multistep", "er_sde", "dpmpp_2m_sde")
"""ComfyUI's, in the order of the tables."""
USUAL = "res_multistep", "simple, shift 3"
BEST, ALL = "Best against the usual", "All runs"
TABLES = {
    "samplers_demo": "ComfyUI's samplers, the demo",
    "samplers_joint64": "ComfyUI's samplers, its own class",
    "samplers_plain128": "ComfyUI's samplers, 128 pixels",
}
"""Name of a run → the table of docs/few_steps.md that it fills."""
Result = tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]
"""Settings, and title → rows."""
SHOWN = ("simple, shift 1", "simple, shift 3", "sigmoid")  # its schedules


def by_prompt(values: Tensor, seeds: int, half: int | None = None) -> Tensor:
    """Return means over the noises of each prompt, or over one half of them."""
    each = values.float().unflatten(0, (-1, seeds))
    return (each if half is None else each[:, half::2]).mean(1)


def rows(found: list[dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """Return a row a run: scores, and the PSNR less that of what people run at as many evaluations."""
    usual = {run["evaluations"]: run for run in found if (run["sampler"], run["schedule"]) == USUAL}
    table = []
    for run in found:
        names = {key: value for key, value in run.items() if not isinstance(value, Tensor)}
        row = {**names, "identity": rate(run["identity"]), "psnr": mean(by_prompt(run["psnr"], seeds))}
        row["edges"] = mean(by_prompt(run["edges"], seeds))
        same = usual.get(run["evaluations"])
        gain = math.nan if same is None else mean(by_prompt(run["psnr"] - same["psnr"], seeds))
        table.append({**row, "PSNR − usual, dB": gain})
    return table


def best(found: list[dict[str, Any]], seeds: int) -> list[dict[str, Any]]:
    """Return per number of evaluations the run with the highest PSNR on even noises, judged on odd ones."""
    table = []
    for spent in sorted({run["evaluations"] for run in found}):
        same = [run for run in found if run["evaluations"] == spent]
        usual = next((run for run in same if (run["sampler"], run["schedule"]) == USUAL), None)
        if usual is None:
            continue
        top = max(same, key=lambda run: float(by_prompt(run["psnr"], seeds, 0).mean()))
        gain = mean(by_prompt(top["psnr"] - usual["psnr"], seeds, 1))
        names = {key: top[key] for key in ("evaluations", "sampler", "schedule")}
        fewer = fewest(found, usual, seeds)
        table.append({**names, "PSNR − usual, dB": gain, "as good as usual with": fewer})
    return table


def fewest(found: list[dict[str, Any]], usual: dict[str, Any], seeds: int) -> str:
    """Return the cheapest run that is no worse than the usual one on all noises, by its mean PSNR."""
    goal = float(usual["psnr"].mean())
    enough = [run for run in found if float(run["psnr"].mean()) >= goal and run["evaluations"] <= usual["evaluations"]]
    run = min(enough, key=lambda run: (run["evaluations"], -float(run["psnr"].mean())))
    return f"{run['evaluations']}, {run['sampler']}, {run['schedule']}"


def merged(stored: Result, new: Result) -> Result:
    """Return the results of a run, and those stored of other numbers of evaluations.

    Settings are "model", "guidance" and "runs": number of evaluations → how it was measured. Raises ValueError if the
    stored ones are of another model or guidance.
    """
    (before, old), (settings, sections) = stored, new
    for name in ("model", "guidance") if before else ():
        if before[name] != settings[name]:
            raise ValueError(
                f"expected stored results of {name} {settings[name]} to add to, got {before[name]}; give another --name"
            )
    found = {
        title: sorted(
            [*(row for row in old.get(title, ()) if str(row["evaluations"]) not in settings["runs"]), *rows],
            key=lambda row: row["evaluations"],
        )
        for title, rows in sections.items()
    }
    every = before.get("runs", {}) | settings["runs"]
    measured = dict.fromkeys(row["evaluations"] for row in found[ALL])
    return {**settings, "runs": {str(n): every[str(n)] for n in measured}}, found


def told(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as pages have them: the numbers of evaluations that were measured alike in one."""
    alike: dict[str, list[str]] = {}
    for spent, how in settings["runs"].items():
        alike.setdefault(how, []).append(spent)
    rest = {name: value for name, value in settings.items() if name != "runs"}
    return rest | {f"with {' and '.join(spent)} evaluations": how for how, spent in alike.items()}


def write(options: argparse.Namespace, result: Result) -> None:
    """Write the results as JSON and as a page."""
    settings, sections = result
    write_json(options.results / f"{options.name}.json", {"settings": settings, "sections": sections})
    heading = options.name.capitalize().replace("_", " ")
    write_tables(options.results / f"{options.name}.md", told(settings), sections, (), heading)


def publish(options: argparse.Namespace, result: Result) -> None:
    """Write the results, and the document's table where the run has one: the gain of each sampler by schedule."""
    write(options, result)
    if options.name not in TABLES:
        return
    settings, sections = result
    table = f"{brief(gains(sections[ALL]))}\n\n{measured_with(settings_text(told(settings)))}"
    fill_document(Path(options.document), {TABLES[options.name]: table})


def gains(every: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row of the document a number of evaluations and sampler: what each schedule gains."""
    found = {(row["evaluations"], row["sampler"], row["schedule"]): row["PSNR − usual, dB"] for row in every}
    keys = [(n, name) for n in dict.fromkeys(row["evaluations"] for row in every) for name in SAMPLERS]
    return [
        {"evaluations": n, "sampler": name} | {schedule: gain(found.get((n, name, schedule))) for schedule in SHOWN}
        for n, name in keys
        if any((n, name, schedule) in found for schedule in SHOWN)
    ]


def gain(measure: dict[str, float] | float | None) -> str:
    """Return a gain as text, bold where its whole interval is above 0."""
    if not isinstance(measure, dict):
        return "–"
    text = f"{measure['value']:.2f}"
    return f"**{text}**" if measure["low"] > 0 else text
