"""The server of the dashboard: a free port, and the application behind its guard."""

import errno
import logging
import socket
from collections.abc import Iterable

from waitress.server import create_server

from lit_transformer.compare.dashboard.app import make_app
from lit_transformer.compare.dashboard.hosts import allowed_names
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.pages import PAGE_MODULES, sweep
from lit_transformer.compare.dashboard.requests import MAX_BODY, Requests
from lit_transformer.compare.dashboard.security import Guard
from lit_transformer.config.errors import UserError

TRIES = 50
"""Ports tried after the one that was asked for."""
THREADS = 6


def guarded(index: LiveIndex, host: str, names: Iterable[str], token: str | None) -> Guard:
    """The whole application over `index`, as a server may call it."""
    app = make_app(index)
    app.index()  # registers the scripts that a page asks for
    requests = Requests(app, tuple(module.PATH for module in PAGE_MODULES))
    return Guard(
        app.server.wsgi_app, requests, allowed_names(host, names), token=token, scripts=app.csp_hashes(),
        evaluating=(sweep.PATH,),
    )  # fmt: skip


def listen(host: str, port: int) -> socket.socket:
    """A socket on `port`, or on the next one that is free; UserError where none is, or `host` is not this machine's."""
    last = min(port + TRIES, 65535)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, last + 1):
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((host, candidate))
            opened.listen(128)
        except OSError as error:
            opened.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise UserError(
                    f"--host\n  got      {host} ({error.strerror or error})\n"
                    "  allowed  a name or address of this machine\n  fix      leave --host out"
                ) from error
        else:
            return opened
    raise UserError(
        f"--port\n  got      {port}\n  allowed  a port that is free, or has a free one among the {TRIES} after it\n"
        f"  fix      --port {min(port + 1000, 60000)}"
    )


def serve(application: Guard, opened: socket.socket) -> None:
    """Answer until Ctrl-C, which ends with KeyboardInterrupt.

    waitress: kept well, a fixed number of threads, limits on headers, bodies and idle connections. Werkzeug's own
    server is for development, as it says: a thread for each connection and no limits.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # else it says whenever seven questions come at once
    server = create_server(
        application, sockets=[opened], threads=THREADS, ident="", max_request_body_size=MAX_BODY,
        max_request_header_size=65_536, channel_timeout=60, connection_limit=100, clear_untrusted_proxy_headers=True,
    )  # fmt: skip
    try:
        server.run()
    finally:
        server.close()
    raise KeyboardInterrupt  # waitress takes Ctrl-C as its order to end, and returns
