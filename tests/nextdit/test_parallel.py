"""One picture by several processes is the picture of one."""

import subprocess
import sys
from pathlib import Path

import pytest

from lumina_next.nextdit.parallel import share_rows

COUNTS = (2, 3)


@pytest.fixture(scope="module")
def worked():
    """What the processes said, for all counts."""
    command = [sys.executable, str(Path(__file__).with_name("parallel_worker.py")), *map(str, COUNTS)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("processes", COUNTS)
def test_processes_together_compute_what_one_does(worked, processes):
    """The worker raises on any difference; one row of tokens, which cannot be shared, is an error in each process."""
    said = [line for line in worked.stdout.splitlines() if line.startswith(f"{processes} processes")]
    assert f"{processes} processes ended with {[0] * processes}" in said, worked.stderr
    assert sum("it has only 1 in windows of 1; start fewer processes" in line for line in said) == processes


def test_rows_are_shared_in_whole_windows():
    assert share_rows(8, 2) == [(0, 4), (4, 8)]
    assert share_rows(7, 3) == [(0, 2), (2, 4), (4, 7)]
    assert share_rows(7, 2, window=2) == [(0, 4), (4, 7)]
    assert share_rows(9, 3, window=4) == [(0, 4), (4, 8), (8, 9)]
    with pytest.raises(ValueError, match="3 processes share a picture by rows of tokens, but it has only 4 in windows"):
        share_rows(4, 3, window=2)
