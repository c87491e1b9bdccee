"""`python -m lumina_next.benchmarks.on_gpu`, or this folder as a plain script where the pack is not installed."""

import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Give the checkout its name, whatever its folder is called, for this process and those that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lumina_next").symlink_to(CHECKOUT, target_is_directory=True)
        if not __package__:
            sys.path[0] = folder  # was this file's folder, whose modules would hide others
        from lumina_next.benchmarks.on_gpu.run import main as run

        run(path=folder)


if __name__ == "__main__":
    main()
