"""A dashboard that answers on a port of this machine, and what a browser needs to look at it."""

import http.client
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page
from waitress.server import create_server

from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.requests import MAX_BODY
from lit_transformer.compare.dashboard.serve import guarded


@dataclass
class Site:
    """A dashboard that answers on a port of this machine."""

    port: int
    root: Path

    def ask(
        self, method: str = "GET", path: str = "/", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value.encode("utf-8", "surrogateescape"))
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """What comes back for bytes that no client would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            parts = []
            try:
                while part := connection.recv(65536):
                    parts.append(part)
            except ConnectionResetError:
                pass
            return b"".join(parts)


def serve(root: Path, token: str | None = None, names: tuple[str, ...] = ()) -> Iterator[Site]:
    server = create_server(
        guarded(LiveIndex(root), "127.0.0.1", names, token),
        host="127.0.0.1",
        port=0,
        threads=4,
        max_request_body_size=MAX_BODY,
        ident="",
    )
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield Site(server.effective_port, root)  # type: ignore[union-attr]
    server.close()


@dataclass
class Seen:
    """What a page did while it was looked at."""

    page: Page
    site: Site
    messages: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests to anything but the dashboard."""

    def open(self, path: str, shown: str) -> None:
        """Go to a page, and wait until `shown`, a selector, is there."""
        self.page.goto(f"http://localhost:{self.site.port}{path}")
        self.page.wait_for_selector(shown, state="attached")

    def pick(self, menu: str, *names: str) -> None:
        """Choose `names` in a menu, as a person who searches for them."""
        self.page.locator(f"#{menu}").click()
        for name in names:
            search = self.page.locator(".dash-dropdown-content input.dash-dropdown-search")
            if search.count():
                search.fill(name)
            self.page.locator(".dash-dropdown-option", has_text=name).first.click()
        if self.page.locator(".dash-dropdown-content").count():
            self.page.keyboard.press("Escape")

    def until(self, script: str, argument: object = None) -> None:
        """Wait until `script`, a function of the page, is true of `argument`."""
        self.page.wait_for_function(script, arg=argument, timeout=60_000)

    def traces(self, figure: str) -> list[dict[str, object]]:
        """Name, x and y of what a figure draws."""
        found: list[dict[str, object]] = self.page.evaluate(
            """id => [...(document.querySelector(`#${id} .js-plotly-plot`)._fullData)].map(
                 t => ({name: t.name, x: [...(t.x || [])], y: [...(t.y || [])]}))""",
            figure,
        )
        return found

    def column(self, grid: str, field: str) -> list[str]:
        """The texts of a table's column, from top to bottom."""
        found: list[str] = self.page.evaluate(
            """([grid, field]) => [...document.querySelectorAll(`#${grid} .ag-row`)]
                 .filter(row => row.querySelector(`[col-id="${field}"]`))
                 .sort((a, b) => a.getAttribute("row-index") - b.getAttribute("row-index"))
                 .map(row => row.querySelector(`[col-id="${field}"]`).textContent)""",
            [grid, field],
        )
        return found

    def quiet(self) -> None:
        """No error in the console, nothing asked of any other server."""
        assert [text for text in self.messages if "GPU stall due to ReadPixels" not in text] == []
        assert self.elsewhere == []


def look_at(browser: Browser, site: Site, width: int = 1400, height: int = 900, scheme: str = "light") -> Seen:
    """A new page that says what it logs, asks and pops up."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page.set_default_timeout(60_000)
    seen = Seen(page, site)
    own = (f"http://localhost:{site.port}/", "data:", "blob:")
    page.on("console", lambda message: seen.messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.messages.append(str(error)))
    page.on("dialog", lambda dialog: (seen.messages.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith(own) else seen.elsewhere.append(request.url))
    return seen
