"""The comparison as a figure: loss and judged quality over steps, activations over depth."""

from pathlib import Path
from typing import Any

from ..shared.plot import panels, save

Row = dict[str, Any]
LINES = {
    "Next-DiT": ("#111827", "-", 2.2),
    "Flag-DiT": ("#d97757", "-", 1.6),
    "no sandwich norms": ("#2f6fde", "-", 1.2),
    "no tanh gates": ("#3f9d6b", "-", 1.2),
    "long skips": ("#a855f7", "-", 1.2),
    "full keys": ("#6b7280", "--", 1.2),
    "experts by time": ("#ca8a04", "--", 1.2),
}


def draw(file: Path, way: list[Row], depth: list[Row]) -> None:
    """Draw three panels, a line a network: means over the seeds, whose intervals are in the tables."""
    figure, axes = panels(3)
    for name, (colour, dashes, width) in LINES.items():
        look = {"color": colour, "linestyle": dashes, "linewidth": width}
        rows = [row for row in way if row["network"] == name]
        for axis, key in ((axes[0], "loss"), (axes[1], "right class, %")):
            axis.plot([row["steps"] for row in rows], [row[key]["value"] for row in rows], **look, label=name)
        layers = [value for row in depth if row["network"] == name for key, value in row.items() if key != "network"]
        axes[2].plot(range(1, len(layers) + 1), [value["value"] for value in layers], **look, label=name)
    axes[0].set(title="loss on the true pictures", xlabel="steps")
    axes[1].set(title="right class by the judge, %", xlabel="steps", ylim=(0, None))
    axes[2].set(title="RMS of tokens behind a layer", xlabel="layer", ylim=(0, None))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save(figure, file)
