"""What `lit-transformer dashboard DIR` does."""

import secrets
import sys
import threading
from pathlib import Path

from lit_transformer.compare.dashboard.hosts import ANY, bracketed, is_loopback
from lit_transformer.config.errors import UserError

PORT = 8050
MIN_TOKEN = 16


def dashboard(
    directory: Path,
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    token: str | None = None,
    allow_hosts: tuple[str, ...] = (),
) -> None:
    """Serve the pages on the runs under `directory` until Ctrl-C, and say where; opens no browser.

    Raises UserError for a folder that cannot be read, a port that is none or not free, and a `host` that other
    machines can reach where no `token` (at least 16 characters, or `auto`) guards it.
    """
    if not 1 <= port <= 65535:
        raise UserError(f"--port\n  got      {port}\n  allowed  1 to 65535\n  fix      --port {PORT}")
    secret = check_token(host, token)
    from lit_transformer.compare.dashboard.index import LiveIndex
    from lit_transformer.compare.dashboard.serve import guarded, listen, serve

    index = LiveIndex(directory)
    application = guarded(index, host, allow_hosts, secret)
    opened = listen(host, port)
    got = opened.getsockname()[1]
    if got != port:
        print(f"port {port} is taken; {got} is used", file=sys.stderr)
    print(f"{len(index.view.rows)} runs under {index.root}; Ctrl-C ends", file=sys.stderr)
    print(address(host, got, secret), flush=True)
    threading.Thread(target=index.warm, daemon=True, name="curves").start()
    serve(application, opened)


def check_token(host: str, token: str | None) -> str | None:
    """The token to ask for, made where it is `auto`; UserError where there must be one, or it can be guessed."""
    if token is None:
        if not is_loopback(host):
            raise UserError(
                f"--host\n  got      {host}, which other machines can reach, and no --token\n"
                "  allowed  localhost, 127.0.0.1, ::1; any other with a token\n"
                f"  fix      --host {host} --token auto, or `ssh -L {PORT}:localhost:{PORT}` to this machine"
            )
        return None
    if token == "auto":
        return secrets.token_urlsafe(24)
    if len(token) < MIN_TOKEN or not (token.isascii() and token.replace("-", "").replace("_", "").isalnum()):
        raise UserError(
            f"--token\n  got      {len(token)} characters\n"
            f"  allowed  auto, or at least {MIN_TOKEN} of letters, digits, - and _\n  fix      --token auto"
        )
    return token


def address(host: str, port: int, token: str | None) -> str:
    """What a person opens in a browser."""
    name = "localhost" if is_loopback(host) or host in ANY else bracketed(host)
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
