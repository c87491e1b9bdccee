"""`python -m lumina_next.training.data.emoji.pack`: the prepared data in one file, to train on another machine.

Without `--cache`, what demo/ holds: its 64 concepts from the sheets in pictures/, which takes no download.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .prepare import default_cache

SIZES = (32, 64, 128)
DEMO = Path(__file__).parents[3] / "demo"
COLUMNS = 8


def pack(cache: Path, out: Path, sizes: tuple[int, ...] = SIZES) -> None:
    """Write the concepts of a prepared folder and their pictures of some sizes as one compressed file (.npz).

    Raises FileNotFoundError where a size was not prepared.
    """
    pictures = {size: np.load(cache / f"pictures-{size}.npy") for size in sizes}
    write(out, (cache / "concepts.json").read_text("utf-8"), pictures)


def pack_demo(out: Path, sizes: tuple[int, ...] = SIZES, folder: Path = DEMO) -> None:
    """Do the same with the trained concepts of demo/; sizes that have no sheet are shrunk from the next larger one."""
    text = (folder / "concepts.json").read_text("utf-8")
    count = len(json.loads(text)["emoji"])
    sheets = sorted(int(file.stem) for file in (folder / "pictures").glob("*.png"))
    pictures = {}
    for size in sizes:
        sheet = min(s for s in sheets if s >= size)
        with Image.open(folder / "pictures" / f"{sheet}.png") as image:
            tiles = np.asarray(image.convert("RGBA")).reshape(-1, sheet, COLUMNS, sheet, 4).swapaxes(1, 2)
        tiles = tiles.reshape(-1, sheet, sheet, 4)[:count]
        pictures[size] = np.stack([shrunk(tile, size) for tile in tiles])
    write(out, text, pictures)


def shrunk(tile: np.ndarray, size: int) -> np.ndarray:
    """Return an RGBA picture at another size; the same one if it has it."""
    if len(tile) == size:
        return tile
    return np.asarray(Image.fromarray(tile).resize((size, size), Image.Resampling.LANCZOS))


def write(out: Path, concepts: str, pictures: dict[int, np.ndarray]) -> None:
    """Write the file; colours of pixels that cannot be seen are dropped, which halves it."""
    clean = {f"pictures-{size}": np.where(drawn[..., 3:] > 0, drawn, 0) for size, drawn in pictures.items()}
    content: dict[str, Any] = {"concepts": np.frombuffer(concepts.encode(), np.uint8), **clean}
    np.savez_compressed(out, **content)


def read(file: Path) -> tuple[dict, dict[int, np.ndarray]]:
    """Return the concept table and size → pictures (N, size, size, 4) of a packed file."""
    with np.load(file) as content:
        sizes = {int(key.partition("-")[2]): content[key] for key in content.files if key.startswith("pictures-")}
        return json.loads(content["concepts"].tobytes()), sizes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, nargs="?", const=default_cache(), help="what training.data.emoji.prepare wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write, ending in .npz")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="of the pictures, in pixels")
    options = parser.parse_args(arguments)
    if options.out.suffix != ".npz":
        parser.error(f"--out must end in .npz, got {options.out}")
    sizes = tuple(options.sizes)
    if options.cache is None:
        pack_demo(options.out, sizes)
    else:
        pack(options.cache, options.out, sizes)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
