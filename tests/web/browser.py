"""A real Chromium, driven over its debugging protocol: pages, mouse, keys, pictures of the screen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["Page", "find_chromium", "open_page"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_START_S = 120.0
_WAIT_S = 90.0
_KEYS = {
    "Enter": 13, "Escape": 27, "Tab": 9, "Backspace": 8, "Delete": 46, "Home": 36, "End": 35,
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip
_LOUD = frozenset({"Runtime.exceptionThrown", "Log.entryAdded"})
_SETTLED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
_IN_A_FIELD = "['INPUT', 'TEXTAREA'].includes(document.activeElement?.tagName)"


def find_chromium() -> str | None:
    """The browser's program, or None where there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path is not None), None)


class Page:
    """One page. `complaints` are its errors: what scripts threw and what the browser refused."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._count = 0
        self._document = ""
        self._has_crashed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            waiting = self._waiting.pop(data.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(data)
            elif data.get("method") in _LOUD and data["params"].get("entry", {}).get("level", "error") == "error":
                self.complaints.append(json.dumps(data["params"])[:600])
            elif data.get("method") == "Page.frameNavigated" and "parentId" not in data["params"]["frame"]:
                self._document = data["params"]["frame"]["loaderId"]
            elif data.get("method") == "Inspector.targetCrashed":
                self._has_crashed.set()

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol; its result."""
        self._count += 1
        self._waiting[self._count] = asyncio.get_running_loop().create_future()
        number = self._count
        await self._socket.send_str(json.dumps({"id": number, "method": method, "params": params}))
        reply = await asyncio.wait_for(self._waiting[number], _WAIT_S)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return dict(reply["result"])

    async def go(self, url: str) -> None:
        """Open an address; returns when its document is the page's. Raises RuntimeError where there is none."""
        answer = await self.send("Page.navigate", url=url)
        if "errorText" in answer:
            raise RuntimeError(f"{url}: {answer['errorText']}")
        wanted = answer.get("loaderId", self._document)
        await self._until_document(lambda: self._document == wanted)

    async def reload(self) -> None:
        """Open the address again; returns when the new document is the page's."""
        before = self._document
        await self.send("Page.reload")
        await self._until_document(lambda: self._document != before)

    async def _until_document(self, is_there: Callable[[], bool]) -> None:
        end = asyncio.get_running_loop().time() + _WAIT_S
        while not is_there():
            if asyncio.get_running_loop().time() > end:
                raise TimeoutError("the page never got its new document")
            await asyncio.sleep(0.01)

    async def value(self, script: str) -> Any:
        """What an expression of the page is; promises are waited for."""
        reply = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(json.dumps(reply["exceptionDetails"])[:800])
        return reply["result"].get("value")

    async def until(self, script: str, seconds: float = _WAIT_S) -> Any:
        """Wait until an expression is true; its value."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            with contextlib.suppress(RuntimeError):  # the page may be between two documents
                if found := await self.value(script):
                    return found
            await asyncio.sleep(0.05)
        raise TimeoutError(f"never true: {script}\n{await self.value('document.body.innerText')}")

    async def click(self, selector: str, text: str = "") -> None:
        """Press the first seen element of a selector whose name or text holds `text`, with the mouse.

        One that moved away at the last moment is pressed again, as somebody would.
        """
        is_missed = True
        while is_missed:
            await self.press_at(*await self.place(selector, text))
            is_missed = False
            with contextlib.suppress(RuntimeError):  # the press may be opening another document
                is_missed = await self.value("window.isMet === false")

    async def place(self, selector: str, text: str = "") -> tuple[float, float]:
        """The middle of the first seen element of a selector whose name or text holds `text`, in pixels.

        Waits until a press would meet it: it is at rest for some frames (a graph that is still being fitted into the
        window moves under the pointer), nothing covers it, and it is not disabled.
        """
        found = await self.until(_FIND % (json.dumps(selector), json.dumps(text)))
        return found["x"], found["y"]

    async def press_at(self, x: float, y: float, button: str = "left", count: int = 1) -> None:
        """Move there, press and let go."""
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=count)

    async def key(self, name: str, modifiers: int = 0) -> None:
        """Press a key and let go, once what was shown last listens; `modifiers` are 1 alt, 2 control, 8 shift.

        Tab is the browser's own and waits for nobody.
        """
        if name != "Tab":
            await self.value(_SETTLED)
        code = _KEYS.get(name, ord(name[0].upper()))
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=name, modifiers=modifiers, windowsVirtualKeyCode=code, **text
            )

    async def type(self, text: str) -> None:
        """Put text into the field that has the keyboard, once one has it."""
        await self.until(_IN_A_FIELD)
        await self.send("Input.insertText", text=text)

    async def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.write_bytes(base64.b64decode((await self.send("Page.captureScreenshot"))["data"]))

    async def crash(self) -> None:
        """End the page's process as a fault of it would; `go` opens an address again."""
        crashing = asyncio.create_task(self.send("Page.crash"))
        await asyncio.wait_for(self._has_crashed.wait(), _WAIT_S)
        crashing.cancel()

    async def close(self) -> None:
        """Stop listening."""
        self._reader.cancel()
        await self._socket.close()


_FIND = """(async () => {
  const isWanted = (element) => {
    const name = `${element.getAttribute("aria-label") ?? ""} ${element.textContent}`;
    return name.includes(text) && element.getBoundingClientRect().width > 0;
  };
  const middle = (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x: x + width / 2, y: y + height / 2 };
  };
  const [selector, text] = [%s, %s];
  const element = [...document.querySelectorAll(selector)].find(isWanted);
  if (element === undefined) return null;
  element.scrollIntoView({ block: "nearest" });
  const found = middle(element);
  const end = performance.now() + 150;
  for (let left = 3; left > 0 || performance.now() < end; left--) {
    await new Promise(requestAnimationFrame);
    const { x, y } = middle(element);
    if (x !== found.x || y !== found.y) return null;
  }
  if (element.disabled || !element.contains(document.elementFromPoint(found.x, found.y))) return null;
  const meet = ({ target }) => { window.isMet = element.contains(target); };
  addEventListener("pointerdown", meet, { capture: true, once: true });
  return found;
})()"""


@contextlib.asynccontextmanager
async def open_page(program: str, folder: Path, width: int = 1280, height: int = 800) -> AsyncIterator[Page]:
    """A page of a browser of its own, whose profile is in `folder`; both end with the context."""
    flags = (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    )  # fmt: skip
    browser = subprocess.Popen(
        (program, *flags, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        port = await _port_of(folder)
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(await _address_of_page(session, port), max_msg_size=0)
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log", "Inspector"):
                await page.send(f"{domain}.enable")
            await page.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=height,
                deviceScaleFactor=1,
                mobile=width < 600,
            )
            try:
                yield page
            finally:
                await page.close()
    finally:
        browser.terminate()
        try:
            await asyncio.to_thread(browser.wait, _START_S)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()


async def _port_of(folder: Path) -> int:
    """The port the browser chose; it writes it into its profile, with a second line after it."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            port, _ = (folder / "DevToolsActivePort").read_text(encoding="utf-8").splitlines()
            return int(port)
        await asyncio.sleep(0.1)
    raise TimeoutError("the browser did not start")


async def _address_of_page(session: aiohttp.ClientSession, port: int) -> str:
    """Where the first page listens, as soon as there is one."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"http://127.0.0.1:{port}/json") as reply:
                targets = await reply.json(content_type=None)
            for item in targets:
                if item["type"] == "page":
                    return str(item["webSocketDebuggerUrl"])
        await asyncio.sleep(0.1)
    raise TimeoutError("the browser has no page")
