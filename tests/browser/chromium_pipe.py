"""Just enough of the Chrome DevTools Protocol to look at a page: over a pipe, so no port and no library.

An open event stream never lets `--virtual-time-budget` run out, so `--dump-dom` cannot be used on the live page.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Browser", "chromium_binary"]

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage --hide-scrollbars "
    "--remote-debugging-pipe"
)
_WAIT_S = 20.0
_NAVIGATED = ("navigated or closed", "context was destroyed", "Cannot find context", "Promise was collected")


def chromium_binary() -> str | None:
    """Return the path of a Chromium, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    return None


_CONTRAST = r"""(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    const parts = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255);
    const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (!/^rgba.* 0\)$/.test(c)) return c; } return "white"; };
  const says = (e) => e.tagName !== "OPTION" && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const seen = [...document.querySelectorAll(PLACES)].filter((e) => says(e) && e.checkVisibility());
  return seen.map((e) => {
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), `${e.tagName} ${e.className} ${e.textContent}`];
  }).sort(([a], [b]) => a - b)[0];
})()"""


class _NavigatedError(AssertionError):
    """The page that was asked has gone: another is on its way."""


class Browser:
    """One headless browser with one page.

    Parameters
    ----------
    binary : str
    profile : Path
        An empty folder.
    width, height : int
        Of the window, in pixels.
    """

    def __init__(self, binary: str, profile: Path, *, width: int = 1440, height: int = 900) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads commands on 3 and writes answers on 4; dup2 in the shell puts them there whatever they are.
        command = f"exec {binary} {_FLAGS} --user-data-dir={profile} --window-size={width},{height} about:blank"
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec 3<&{to_browser} 4>&{from_browser}; {command}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._next_id = 0
        self._session: str | None = None
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.problems: list[str] = []
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Page.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        os.close(self._write)
        os.close(self._read)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._next_id:
                if "error" in answer:
                    gone = any(words in answer["error"]["message"] for words in _NAVIGATED)
                    raise (_NavigatedError if gone else AssertionError)(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def open(self, url: str, *, dark: bool = False) -> None:
        """Go to a page."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, within_s: float = _WAIT_S) -> Any:
        """Return the value of an expression as soon as it is true; asked again at each frame that the page draws."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                value = self.evaluate(f"new Promise((done) => requestAnimationFrame(() => done({expression})))")
            except _NavigatedError:
                continue
            if value:
                return value
        raise AssertionError(f"not within {within_s} s: {expression}; the page says: {self.problems}")

    def press(self, key: str, *, held: bool = False) -> None:
        """Press and release a key; or what a key that is held down does once more, and release it."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, autoRepeat=held, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def least_contrast(self, places: str) -> tuple[float, str]:
        """Return the least contrast of text against its ground by WCAG 2.1, of what a selector finds, and where."""
        contrast, where = self.evaluate(_CONTRAST.replace("PLACES", json.dumps(places)))
        return contrast, where

    def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _WAIT_S)
            if not ready:
                raise AssertionError(f"the browser says nothing for {_WAIT_S} s")
            chunk = os.read(self._read, 1 << 16)
            if not chunk:
                raise AssertionError(f"the browser ended with {self._process.wait()}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
