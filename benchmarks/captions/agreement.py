"""Hold structured captions made by rules against a language model's.

`python -m lumina_next.benchmarks.captions.agreement TSV`: a table with columns ori_cap (sentences) and caption
(structured), such as audiocaps_test_struct.tsv of github.com/Text-to-Audio/Make-An-Audio-3.
"""

import csv
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...nextdit.captions import from_sentence, read

ORDER = re.compile(r"\b(?:then|before|after|followed by)\b", re.IGNORECASE)


def agreement(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """Return the shares of sentences with as many sounds, with the same times, and with the last sound's time.

    The last counts sentences with words of ORDER alone; `alone` is the share whose times are "all" and nothing else.
    """
    pairs = [(from_sentence(row["ori_cap"]), read(row["caption"]), row["ori_cap"]) for row in rows]
    pairs = [(ours, theirs, text) for ours, theirs, text in pairs if ours and theirs]
    ordered = [(ours, theirs) for ours, theirs, text in pairs if ORDER.search(text)]

    def share(hits: list[bool]) -> float:
        return sum(hits) / max(1, len(hits))

    return {
        "sentences": len(pairs),
        "as many sounds": share([len(ours) == len(theirs) for ours, theirs, _ in pairs]),
        "the same times": share([[e.when for e in ours] == [e.when for e in theirs] for ours, theirs, _ in pairs]),
        "one sound, throughout": share([[e.when for e in theirs] == ["all"] for _, theirs, _ in pairs]),
        "last sound, in sentences of order": share([ours[-1].when == theirs[-1].when for ours, theirs in ordered]),
    }


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        for name, value in agreement(csv.DictReader(file, delimiter="\t")).items():
            print(f"{name}: {value:.3g}")
