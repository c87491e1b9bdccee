"""The public packages that the demo data comes from, fetched with npm and read."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path

PACKAGES = {
    "pictures": "@iconify-json/noto@1.2.9",
    "names": "cldr-annotations-full@48.2.0",
    "derived": "cldr-annotations-derived-full@48.2.0",
}
SKIN_TONES = {f"{0x1F3FB + i:x}" for i in range(5)}
VARIATION = "\ufe0f"


def fetch(name: str, cache: Path) -> Path:
    """Return the unpacked folder of one of PACKAGES, as `fetch_package` does."""
    return fetch_package(PACKAGES[name], cache / name)


def fetch_package(package: str, folder: Path) -> Path:
    """Return the unpacked folder of an npm package, downloading it into `folder` on the first call.

    Raises RuntimeError where npm is not installed or the download fails.
    """
    if (folder / "package").is_dir():
        return folder / "package"
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"npm is needed to download {package}, and is not installed: install Node.js")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([npm, "pack", package], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"npm could not download {package}: {done.stderr.strip()[-300:]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def pictures(folder: Path) -> dict[str, str]:
    """Return emoji → whole SVG text, without flags, letters and skin tones, in a fixed order."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    codes = json.loads((folder / "chars.json").read_text("utf-8"))
    size = icons["width"], icons["height"]
    found: dict[str, str] = {}
    for code, name in sorted(codes.items()):
        points = code.split("-")
        if SKIN_TONES & set(points) or name not in icons["icons"] or name.startswith("flag"):
            continue
        emoji = "".join(chr(int(point, 16)) for point in points).replace(VARIATION, "")
        body = icons["icons"][name]["body"]
        found.setdefault(
            emoji, f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}">{body}</svg>'
        )
    return found


def names(folders: tuple[Path, Path], languages: tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
    """Return emoji → language → [name, keyword, keyword, …], from CLDR's annotations and derived annotations."""
    found: dict[str, dict[str, list[str]]] = {}
    for folder, inner in zip(folders, ("annotations", "annotationsDerived"), strict=True):
        for language in languages:
            file = folder / inner / language / "annotations.json"
            entries = json.loads(file.read_text("utf-8"))[inner]["annotations"]
            for emoji, entry in entries.items():
                if "tts" not in entry:
                    continue
                words = [*entry["tts"], *(word for word in entry.get("default", ()) if word not in entry["tts"])]
                found.setdefault(emoji.replace(VARIATION, ""), {}).setdefault(language, words)
    return found
