"""Talk to a ComfyUI server as the editor does: queue over HTTP, follow over the websocket, fetch what came out."""

import asyncio
import io
import json
import struct
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

from lumina_next.pipelines.clips import read_clip
from lumina_next.pipelines.sounds import Sound, read_sound

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
ENDINGS = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}
RUN_SECONDS = 120
VIDEOS = (".mp4", ".mkv", ".webm")


class Rejected(Exception):
    """The server refused a prompt (HTTP 400); `errors` is its whole answer."""

    def __init__(self, errors: dict):
        self.errors = errors
        super().__init__(json.dumps(errors))


@dataclass
class Run:
    """What one prompt did: how it ended, every websocket event, every preview frame, the outputs by node id."""

    prompt_id: str
    status: str = "queued"
    events: list[tuple[str, dict]] = field(default_factory=list)
    received: list[float] = field(default_factory=list)  # when each event arrived, in seconds of perf_counter
    previews: list[Image.Image] = field(default_factory=list)
    outputs: dict = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)  # what nodes said, by node id
    error: str = ""
    error_class: str = ""

    def of(self, kind: str) -> list[dict]:
        return [data for name, data in self.events if name == kind]

    @property
    def cached(self) -> set[str]:
        return {node for data in self.of("execution_cached") for node in data["nodes"]}

    def steps(self, node: str) -> list[int]:
        """The step numbers that progress events reported for a node."""
        return [data["value"] for data in self.of("progress") if data["node"] == node]


class ComfyClient:
    """A blocking client with one websocket; `run` is the usual way in."""

    def __init__(self, url: str):
        self.url, self.client_id = url, uuid.uuid4().hex
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._open())

    def close(self) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    def queue(self, prompt: dict) -> str:
        """Queue an API-format prompt and return its id; raises Rejected with the server's reasons."""
        return self._loop.run_until_complete(self._queue(prompt))

    def wait(self, *prompt_ids: str, interrupt_after: int | None = None, seconds: float = RUN_SECONDS) -> list[Run]:
        """Follow prompts until all have ended; interrupt after that many progress events when asked."""
        work = asyncio.wait_for(self._follow([Run(i) for i in prompt_ids], interrupt_after), seconds)
        return self._loop.run_until_complete(work)

    def run(self, prompt: dict, interrupt_after: int | None = None, seconds: float = RUN_SECONDS) -> Run:
        return self.wait(self.queue(prompt), interrupt_after=interrupt_after, seconds=seconds)[0]

    def images(self, run: Run, kind: str = "output") -> list[np.ndarray]:
        """The pictures a run saved ("output") or only showed ("temp"), (height, width, 3) uint8, in node order."""
        if run.status != "success":
            raise AssertionError(f"prompt ended with {run.status}: {run.error}")
        return [self._view(image) for image in saved(run) if image["type"] == kind and not is_clip(image)]

    def clips(self, run: Run) -> list[np.ndarray]:
        """The videos a run saved, decoded, (frames, height, width, 3) uint8, in node order."""
        if run.status != "success":
            raise AssertionError(f"prompt ended with {run.status}: {run.error}")
        return [self._loop.run_until_complete(self._decode(told)) for told in saved(run) if is_clip(told)]

    def sounds(self, run: Run, kind: str = "output") -> list[Sound]:
        """The sounds a run saved ("output") or only played ("temp"), in node order."""
        if run.status != "success":
            raise AssertionError(f"prompt ended with {run.status}: {run.error}")
        told = [told for output in run.outputs.values() for told in output.get("audio", [])]
        return [self._loop.run_until_complete(self._hear(sound)) for sound in told if sound["type"] == kind]

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(self.url)
        self._socket = await self._session.ws_connect(f"/ws?clientId={self.client_id}", max_msg_size=0)
        flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        await self._socket.send_json(flags)

    async def _queue(self, prompt: dict) -> str:
        body = {"prompt": prompt, "client_id": self.client_id}
        async with self._session.post("/prompt", json=body) as answer:
            content = await answer.json()
            if answer.status != 200:
                raise Rejected(content)
            return content["prompt_id"]

    async def _follow(self, runs: list[Run], interrupt_after: int | None) -> list[Run]:
        by_id, current, seen = {run.prompt_id: run for run in runs}, None, 0
        while any(run.status == "queued" for run in runs):
            message = await self._socket.receive()
            if message.type is aiohttp.WSMsgType.BINARY:
                if current is not None and (frame := decode_preview(message.data)) is not None:
                    current.previews.append(frame)
                elif current is not None and (said := decode_text(message.data)) is not None:
                    current.texts.setdefault(said[0], []).append(said[1])
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise ConnectionError(f"the server closed the websocket: {message}")
            event = json.loads(message.data)
            kind, data = event["type"], event.get("data") or {}
            run = by_id.get(data.get("prompt_id"))
            if run is None:
                continue
            current = run
            run.events.append((kind, data))
            run.received.append(time.perf_counter())
            run.status = ENDINGS.get(kind, run.status)
            run.error = data.get("exception_message", run.error)
            run.error_class = data.get("exception_type", run.error_class)
            seen += kind == "progress"
            if interrupt_after is not None and seen >= interrupt_after:
                interrupt_after = None
                await self._session.post("/interrupt", json={})
        for run in runs:
            run.outputs = await self._outputs(run.prompt_id)
        return runs

    async def _outputs(self, prompt_id: str) -> dict:
        # The history entry is written just after the closing event is sent.
        for _ in range(100):
            async with self._session.get(f"/history/{prompt_id}") as answer:
                history = await answer.json()
            if prompt_id in history:
                # ComfyUI runs a prompt's output nodes in the order of a set of strings: another one in each process.
                return dict(sorted(history[prompt_id]["outputs"].items(), key=lambda output: node_order(output[0])))
            await asyncio.sleep(0.05)
        raise AssertionError(f"prompt {prompt_id} never reached the history")

    def _view(self, image: dict) -> np.ndarray:
        return self._loop.run_until_complete(self._fetch(image))

    async def _fetch(self, image: dict) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(await self._bytes(image))).convert("RGB"))

    async def _decode(self, clip: dict) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / clip["filename"]
            file.write_bytes(await self._bytes(clip))
            return np.stack([np.asarray(frame) for frame in read_clip(file)[0]])

    async def _hear(self, told: dict) -> Sound:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / told["filename"]
            file.write_bytes(await self._bytes(told))
            return read_sound(file)

    async def _bytes(self, told: dict) -> bytes:
        async with self._session.get("/view", params=told) as answer:
            answer.raise_for_status()
            return await answer.read()


def saved(run: Run) -> list[dict]:
    """What a run's nodes say of the files that they wrote."""
    return [told for output in run.outputs.values() for told in output.get("images", [])]


def is_clip(told: dict) -> bool:
    return told["filename"].endswith(VIDEOS)


def node_order(node: str) -> list[tuple[int, int, str]]:
    """A key that sorts node ids by number, a subgraph's ("12:3") behind it, and names behind all numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in node.split(":")]


def decode_text(message: bytes) -> tuple[str, str] | None:
    """The node and the text in a binary websocket message, or None where it carries something else."""
    kind, length = struct.unpack(">II", message[:8])
    return (message[8 : 8 + length].decode(), message[8 + length :].decode()) if kind == TEXT else None


def decode_preview(message: bytes) -> Image.Image | None:
    """The picture in a binary websocket message, or None where it carries something else."""
    kind = struct.unpack(">I", message[:4])[0]
    if kind == PREVIEW:
        start = 8
    elif kind == PREVIEW_WITH_METADATA:
        start = 8 + struct.unpack(">I", message[4:8])[0]
    else:
        return None
    picture = Image.open(io.BytesIO(message[start:]))
    picture.load()
    return picture
