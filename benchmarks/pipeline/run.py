"""Time whole pictures in a real ComfyUI and in diffusers: `python -m lumina_next.benchmarks.pipeline`.

Seconds from queueing a workflow to the picture, split by what they go to, over sizes; the same weights on both sides.
Without --models on small random stand-ins for the official files, which show what the software itself costs. With it
on a folder of real ones, that of a ComfyUI: diffusers/Lumina-Next-SFT-diffusers, text_encoders/gemma-2b and
vae/sdxl_vae.safetensors. Needs a ComfyUI; tests/host/README.md says how to get one.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ...tests.support.checkpoints import write_official_stand_ins
from ...tests.support.comfy_client import ComfyClient, Run
from ...tests.support.comfy_server import HOW_TO_GET_ONE, ComfyServer, find_comfyui
from ...tests.support.graphs import Graph
from ..shared.report import write_results
from ..shared.timing import device_name
from . import diffusers_side as pipeline_diffusers

PARTS = {
    "LuminaNextLoadModel": "loading",
    "LuminaNextLoadTextEncoder": "loading",
    "VAELoader": "loading",
    "CLIPTextEncode": "text",
    "KSampler": "steps",
    "VAEDecode": "decode",
    "SaveImage": "saving",
}
COLUMNS = ("loading", "text", "steps", "decode", "saving")
FILES = ("diffusers/Lumina-Next-SFT-diffusers", "text_encoders/gemma-2b", "vae/sdxl_vae.safetensors")


def workflow(prompt: str, width: int, height: int, steps: int, seed: int) -> Graph:
    """Return text to image on the official files, in API format."""
    graph = Graph()
    model = graph.add("LuminaNextLoadModel", model_name=Path(FILES[0]).name, weight_dtype="default")
    options = {"layer": -2, "max_tokens": 256, "weight_dtype": "default", "device": "default"}
    clip = graph.add("LuminaNextLoadTextEncoder", text_encoder=Path(FILES[1]).name, **options)
    vae = graph.add("VAELoader", vae_name=Path(FILES[2]).name)
    texts = [graph.add("CLIPTextEncode", clip=clip, text=text) for text in (prompt, "")]
    latent = graph.add("EmptyLatentImage", width=width, height=height, batch_size=1)
    sampling = {
        "seed": seed,
        "steps": steps,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    samples = graph.add("KSampler", model=model, positive=texts[0], negative=texts[1], latent_image=latent, **sampling)
    graph.add("SaveImage", images=graph.add("VAEDecode", samples=samples, vae=vae), filename_prefix="benchmark")
    return graph


def split(run: Run, graph: Graph, queued: float) -> dict[str, float]:
    """Return the seconds of a run by part, and from `queued` to its end. Raises RuntimeError if it failed."""
    if run.status != "success":
        raise RuntimeError(f"the workflow ended with {run.status}: {run.error}")
    found = dict.fromkeys(COLUMNS, 0.0)
    starts = [
        (time_, data["node"])
        for (kind, data), time_ in zip(run.events, run.received, strict=True)
        if kind == "executing" and data.get("node")
    ]
    ends = [time_ for time_, _ in starts[1:]] + [run.received[-1]]
    for (start, node), end in zip(starts, ends, strict=True):
        part = PARTS.get(graph[node]["class_type"])
        if part:
            found[part] += end - start
    return found | {"whole": run.received[-1] - queued}


def comfyui(base: Path, sizes: list[tuple[int, int]], steps: int, rounds: int, options: tuple[str, ...]) -> list[dict]:
    """Return the first run of a fresh server and, for every size, the medians of runs with everything loaded."""
    found = find_comfyui()
    if found is None:
        raise SystemExit(f"no ComfyUI found: {HOW_TO_GET_ONE}")
    rows = []
    with ComfyServer(found, base, options=options) as server:
        client = ComfyClient(server.url)

        def run(width: int, height: int, seed: int) -> dict[str, float]:
            graph = workflow(f"a red fox, number {seed}", width, height, steps, seed)
            queued = time.perf_counter()
            return split(client.run(graph), graph, queued)

        rows.append({"with": "ComfyUI, first run", **size_of(*sizes[0]), **run(*sizes[0], 0)})
        for width, height in sizes:
            run(width, height, 1)
            runs = [run(width, height, 2 + i) for i in range(rounds)]
            medians = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            rows.append({"with": "ComfyUI", **size_of(width, height), **medians})
        client.close()
    return rows


def size_of(width: int, height: int) -> dict[str, Any]:
    """Return the columns that name a size."""
    return {"size": f"{width}×{height}", "megapixels": width * height / 1e6}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models", type=Path, help="a ComfyUI's models folder with the official files; default: small stand-ins")
    add("--device", default="cpu", help="cpu or cuda")
    add("--bf16-vae", action="store_true", help="start ComfyUI with that option; on a CPU it decodes in float32 else")
    add("--sizes", nargs="+", default=["256x256", "512x512", "256x1024"], help="WIDTHxHEIGHT in pixels")
    add("--steps", type=int, default=10)
    add("--rounds", type=int, default=3)
    add("--results", type=Path, default=Path(__file__).parents[1] / "results")
    add("--name", default="pipeline", help="of the files")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    sizes = [(int(width), int(height)) for width, height in (size.split("x") for size in options.sizes)]
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        models = base / "models"
        if options.models is None:
            write_official_stand_ins(models)
        for name in FILES if options.models else ():
            (models / name).parent.mkdir(parents=True, exist_ok=True)
            (models / name).symlink_to((options.models / name).resolve())
        flags = (*["--cpu"] * (device.type != "cuda"), *["--bf16-vae"] * options.bf16_vae)
        rows = comfyui(base, sizes, options.steps, options.rounds, flags)
        rows += pipeline_diffusers.measure(
            models / FILES[0], models / FILES[2], sizes, options.steps, options.rounds, device, size_of, COLUMNS
        )
    settings = {
        "device": device_name(device),
        "torch": torch.__version__,
        "weights": "official" if options.models else "stand-ins",
        "steps": options.steps,
        "guidance": "yes",
    }
    write_results(
        options.results, options.name, settings, {"Seconds of a picture": rows}, heading="From the queue to the picture"
    )
