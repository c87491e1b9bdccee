"""A headless Chromium driven over the DevTools protocol, with aiohttp as the only dependency."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp

from .processes import end

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --mute-audio"
).split()
# The middle of an element on screen, null while something else is on top there.
MIDDLE = """selector => {
  const element = document.querySelector(selector), box = element.getBoundingClientRect();
  const at = [box.x + box.width / 2, box.y + box.height / 2];
  return element.contains(document.elementFromPoint(...at)) ? at : null;
}"""
START_SECONDS = 60
CALL_SECONDS = 120


def find_chromium() -> str | None:
    """The path of the first Chromium on PATH, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in one browser process; a context manager. `errors` collects uncaught exceptions of the page."""

    def __init__(self, executable: str, profile: Path, width: int = 1600, height: int = 900):
        self.executable, self.profile, self.size = executable, profile, (width, height)
        self.errors: list[str] = []
        self._ids = 0
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> "Browser":
        size = f"--window-size={self.size[0]},{self.size[1]}"
        arguments = [*FLAGS, size, f"--user-data-dir={self.profile}", "--remote-debugging-port=0", "about:blank"]
        self._process = subprocess.Popen(
            [self.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._loop.run_until_complete(self._connect())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception) -> None:
        self._loop.run_until_complete(self._session.close())
        self._end()

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str):
        """The value of a JavaScript expression (awaited when it is a promise); raises RuntimeError when it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60):
        """Evaluate until the value is truthy, and return it."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.evaluate(f"(() => {{ try {{ return {expression} }} catch (e) {{ return null }} }})()")
            if value:
                return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true within {seconds} s: {expression}")
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """Press and release the left mouse button in the middle of the element a CSS selector finds.

        Waits until the element stands still and nothing covers it. Raises TimeoutError if it never does.
        """
        middle, last = f"({MIDDLE})({json.dumps(selector)})", None
        while (place := self.wait_for(middle)) != last:
            last = place
            time.sleep(0.2)
        at = {"x": place[0], "y": place[1]}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **at)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def screenshot(self) -> bytes:
        """The page as it looks now, PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def call(self, method: str, **parameters):
        """One DevTools command and its result."""
        work = asyncio.wait_for(self._call(method, parameters), CALL_SECONDS)
        return self._loop.run_until_complete(work)

    async def _connect(self) -> None:
        port_file, deadline = self.profile / "DevToolsActivePort", time.monotonic() + START_SECONDS
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.executable} did not open its debugging port")
            await asyncio.sleep(0.1)
        self._session = aiohttp.ClientSession()
        port = port_file.read_text().split()[0]
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in await answer.json() if target["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        await self._call("Page.enable", {})
        await self._call("Runtime.enable", {})
        width, height = self.size
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self._call("Emulation.setDeviceMetricsOverride", screen)

    async def _call(self, method: str, parameters: dict):
        self._ids += 1
        number = self._ids
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _end(self) -> None:
        end(self._process)
        self._loop.close()
