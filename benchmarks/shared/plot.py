"""Plots of stored results, drawn by matplotlib: `pip install 'lumina-next[benchmarks]'`.

`python -m lumina_next.benchmarks.shared.plot` draws docs/pictures/speed.svg from what `benchmarks.step` has measured on
CPUs; the other benchmarks draw their own.
"""

import importlib.util
from pathlib import Path
from typing import Any

from .report import stored_results

ROOT = Path(__file__).parents[1]
PANEL = 4.2, 3.2  # inches
COLOURS = {"uniform": "#8b93a1", "rational": "#d97757", "sigmoid": "#3f9d6b", "measured": "#2f6fde"}
WINDOWS = {"2 × 2": "#2f6fde", "3 × 3": "#3f9d6b", "4 × 4": "#d97757", "none": "#111827"}
MARKERS = {"linear, from t = 0.2": "o", "linear": "^", "none": "s", "": "*"}
THREADS = {"1 thread": "step-cpu-1-thread", "2 threads": "step-cpu-2-threads"}
Row = dict[str, Any]


def require_matplotlib() -> None:
    """Raise ImportError where matplotlib is not installed: before anything is measured, not after."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("matplotlib draws the plots: pip install 'lumina-next[benchmarks]'")


def panels(count: int) -> tuple[Any, list[Any]]:
    """Return a figure and its axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(count * PANEL[0], PANEL[1]), layout="constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
    return figure, axes


def save(figure: Any, file: Path) -> None:
    """Write a figure so that the same numbers give the same file."""
    import matplotlib

    file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": file.stem}):
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def plot_context_drop(file: Path, sections: dict[str, list[Row]]) -> None:
    """Draw the PSNR lost over how many times as fast, a panel a size and a mark a row."""
    figure, axes = panels(len(sections))
    for axis, (size, rows) in zip(axes, sections.items(), strict=True):
        for i, row in enumerate(rows):
            hollow = {"markerfacecolor": "white"} if row["pooled"] == "before RoPE" else {}
            mark, colour = MARKERS.get(row["fade"], "o"), WINDOWS.get(row["window"], "#6b7280")
            axis.plot(row["times"], row["lost"]["value"], mark, color=colour, gid=f"mark-{size}-{i}", **hollow)
        axis.set(title=size, xlabel="times as fast", ylabel="PSNR lost, dB")
    used = {row["window"] for rows in sections.values() for row in rows}
    keys = [
        axes[0].plot([], [], "o", color=colour, label=f"{name} window" if name != "none" else "whole context")[0]
        for name, colour in WINDOWS.items()
        if name in used
    ]
    names = {"linear, from t = 0.2": "fades from t = 0.2", "linear": "fades from the start", "none": "does not fade"}
    keys += [axes[0].plot([], [], MARKERS[fade], color="#6b7280", label=name)[0] for fade, name in names.items()]
    keys += [axes[0].plot([], [], "o", color="#6b7280", markerfacecolor="white", label="pooled before RoPE")[0]]
    figure.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False)
    save(figure, file)


def plot_few_steps(file: Path, runs: list[Row]) -> None:
    """Draw the error over the evaluations, both logarithmic, a panel each for Euler and midpoint."""
    figure, axes = panels(2)
    axes[1].sharey(axes[0])
    ticks = 0.01, 0.02, 0.05, 0.1, 0.2
    for axis, solver in zip(axes, ("euler", "midpoint"), strict=True):
        for schedule, colour in COLOURS.items():
            shown = [run for run in runs if (run["solver"], run["schedule"]) == (solver, schedule)]
            line = [(run["NFE"], run["error"]["value"]) for run in shown]
            axis.loglog(*zip(*line, strict=True), "o-", color=colour, label=schedule)
        counts = sorted({run["NFE"] for run in runs})
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.set(title=solver.capitalize(), xlabel="evaluations of the network", ylabel="error")
        axis.set_yticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
    axes[0].legend(frameon=False)
    save(figure, file)


def plot_speed(file: Path, measured: dict[str, list[Row]]) -> None:
    """Draw seconds and memory of a layer here and in diffusers, by the number of tokens."""
    figure, axes = panels(len(measured) + 1)
    shown = [(title, rows, "{}, s", "seconds", "{:.2f}") for title, rows in measured.items()]
    shown.append(("memory beside the weights", next(iter(measured.values())), "{} peak, MiB", "MiB", "{:.0f}"))
    for axis, (title, rows, key, unit, digits) in zip(axes, shown, strict=True):
        for side, who, colour in ((-0.2, "ours", COLOURS["measured"]), (0.2, "diffusers", COLOURS["uniform"])):
            places = [place + side for place in range(len(rows))]
            drawn = axis.bar(places, [row[key.format(who)] for row in rows], 0.38, color=colour, label=who)
            axis.bar_label(drawn, fmt=digits)
        axis.set_xticks(range(len(rows)), [f"{row['tokens']} tokens" for row in rows])
        axis.set(title=title, ylabel=unit)
    axes[0].legend(frameon=False)
    save(figure, file)


def main() -> None:
    require_matplotlib()
    stored = {title: stored_results(ROOT / "benchmarks/results", name)[1]["Sizes"] for title, name in THREADS.items()}
    plot_speed(ROOT / "docs/pictures/speed.svg", stored)


if __name__ == "__main__":
    main()
