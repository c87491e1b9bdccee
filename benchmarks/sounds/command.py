"""What the benchmarks of sounds and of music do alike: options, one section after the other, results and pictures."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...demo import TEXT_ENCODER
from ...nextdit.layers.rope_scaling import METHODS
from ...training.data.sounds.prepare import MEL
from ...training.data.sounds.rendering import PLACES
from ...training.data.sounds.spectrogram import to_picture
from ..shared.options import ROOT, add_redraw
from ..shared.report import settings_text, stored_results, write_results
from .generator import add_generator

Row = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A benchmark by judges that listen: `sections` name → title and what measures it on a `bench` of the options.

    `shown(bench)` returns sounds (N, samples) to be drawn in `columns`, `said` names the options to be written down.
    """

    name: str
    sections: Mapping[str, tuple[str, Callable[[Any], list[Row]]]]
    bench: Callable[[argparse.Namespace], Any]
    shown: Callable[[Any], np.ndarray]
    columns: int
    said: tuple[str, ...]

    def parser(self, description: str | None, methods: list[str], lengths: list[int]) -> argparse.ArgumentParser:
        """Return a parser of the options that both have."""
        made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        add_generator(made, TEXT_ENCODER)
        add = made.add_argument
        add("--fonts", type=Path, nargs="+", default=PLACES, help="folders of the SoundFonts")
        add("--lengths", type=int, nargs="*", default=lengths, help="times as long as in training")
        add("--methods", nargs="*", choices=tuple(METHODS), default=methods)
        add("--sections", nargs="*", choices=tuple(self.sections), default=tuple(self.sections))
        picture = f"draw docs/pictures/{self.name}.webp anew"
        add("--picture", action=argparse.BooleanOptionalAction, default=True, help=picture)
        add("--name", default=self.name, help="of the files in --results and --pictures")
        add("--results", type=Path, default=ROOT / "benchmarks" / "results")
        add("--pictures", type=Path, default=ROOT / "docs" / "pictures")
        add_redraw(made)
        return made

    def run(self, options: argparse.Namespace) -> None:
        """Measure the sections that are asked for; the others keep what an earlier run found."""
        began = time.monotonic()
        if options.redraw:
            return self.publish(options, *stored_results(options.results, options.name, needed=True))
        torch.set_num_threads(1)  # the processor's seconds are then those of the work
        bench = self.bench(options)
        settings, found = stored_results(options.results, options.name)
        for name in options.sections:
            title, measure = self.sections[name]
            found[title] = measure(bench)
            how = {"model": options.model.name} | {key: getattr(options, key) for key in self.said}
            settings[title] = settings_text(how)
            self.publish(options, settings, found)
        if options.picture:
            self.draw(bench, options.pictures / f"{options.name}.webp")
        settings["whole run, seconds"] = round(time.monotonic() - began)
        self.publish(options, settings, found)

    def draw(self, bench: Any, file: Path) -> None:
        """Write spectrograms of true sounds and of the model's."""
        file.parent.mkdir(parents=True, exist_ok=True)
        spectra = MEL(torch.from_numpy(self.shown(bench)))
        Image.fromarray(to_picture(spectra, columns=self.columns, enlarge=1)).save(file, quality=90, method=6)

    def publish(self, options: argparse.Namespace, settings: dict[str, Any], found: dict[str, list[Row]]) -> None:
        """Write the results in the order of the sections."""
        rows = {title: found[title] for title, _ in self.sections.values() if title in found}
        write_results(options.results, options.name, settings, rows, heading=self.name.capitalize())
