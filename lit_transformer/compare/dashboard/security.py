"""The layer that every request passes before Dash sees it: who asks, by what name, for what, and how it is answered."""

import hashlib
import hmac
import io
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from lit_transformer.compare.dashboard.hosts import name_in, name_in_origin
from lit_transformer.compare.dashboard.requests import MAX_BODY, SUITES, UPDATE, Requests

Headers = list[tuple[str, str]]
STATUSES = {
    303: "303 See Other",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    413: "413 Content Too Large",
    415: "415 Unsupported Media Type",
    421: "421 Misdirected Request",
    500: "500 Internal Server Error",
}


class Refused(Exception):
    """The request is answered by a status and a line of text."""

    def __init__(self, status: int, reason: str, headers: Headers | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, headers or []


class Guard:
    """A WSGI application before Dash's: refuses what a page of ours would not ask, and says how answers may be used.

    `names` are the host names that Host and Origin may bear; `token`, where there is one, must come in the address
    once and then in a cookie; `scripts` are the hashes of the inline scripts that Dash itself writes; `evaluating` are
    the pages that plotly cannot draw without making functions from text, as parallel coordinates do for WebGL.
    """

    def __init__(
        self,
        app: WSGIApplication,
        requests: Requests,
        names: frozenset[str],
        *,
        token: str | None = None,
        scripts: Iterable[str] = (),
        evaluating: Iterable[str] = (),
    ) -> None:
        self._app, self._requests, self._names, self._token = app, requests, names, token
        self._proof = hashlib.sha256(f"lit-transformer {token}".encode()).hexdigest() if token else ""
        """What the cookie holds: who reads it still cannot name the token."""
        self._headers = security_headers(scripts)
        self._loose = dict.fromkeys(evaluating, security_headers([*scripts, "'unsafe-eval'"]))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        headers_of_page = self._loose.get(str(environ.get("PATH_INFO", "")), self._headers)
        own = {name.lower() for name, _ in headers_of_page}

        def start(status: str, headers: Headers, *rest: Any) -> Callable[[bytes], object]:
            kept = [(name, value) for name, value in headers if name.lower() not in own]
            if not any(name.lower() == "cache-control" for name, _ in kept) or status.startswith("4"):
                kept = [(name, value) for name, value in kept if name.lower() != "cache-control"]
                kept.append(("Cache-Control", _caching(environ)))
            return start_response(status, [*kept, *headers_of_page], *rest)

        try:
            self._check(environ)
        except Refused as refused:
            body = f"{refused.reason}\n".encode()
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
            start(STATUSES[refused.status], [*headers, *refused.headers])
            return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]
        return self._app(environ, start)

    def _check(self, environ: WSGIEnvironment) -> None:
        method, path = str(environ.get("REQUEST_METHOD")), str(environ.get("PATH_INFO", ""))
        if name_in(str(environ.get("HTTP_HOST", ""))) not in self._names:
            raise Refused(421, "This server has another name; give it with --allow-host.")
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and name_in_origin(str(origin)) not in self._names:
            raise Refused(403, "Pages of other origins may not ask here.")
        if method not in ("GET", "HEAD", "POST") or (method == "POST") != (path == UPDATE):
            allowed = "POST" if path == UPDATE else "GET, HEAD"
            raise Refused(405, "Nothing on this server can be changed.", [("Allow", allowed)])
        self._check_token(environ, method, path)
        if method == "POST":
            self._check_body(environ)
        elif not self._requests.is_known(path):
            raise Refused(404, "There is no such page.")

    def _check_token(self, environ: WSGIEnvironment, method: str, path: str) -> None:
        if self._token is None:
            return
        query = parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if method == "GET" and given and self._requests.is_known(path):
            if not hmac.compare_digest(given[0].encode(), self._token.encode()):
                raise Refused(401, "The token is another one; the address was printed where the dashboard was started.")
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            cookie = f"{_cookie_name(environ)}={self._proof}; Path=/; HttpOnly; SameSite=Strict"
            raise Refused(303, "Go on.", [("Location", f"{path}?{rest}" if rest else path), ("Set-Cookie", cookie)])
        try:
            cookies = SimpleCookie(str(environ.get("HTTP_COOKIE", "")))
        except CookieError:
            cookies = SimpleCookie()
        held = cookies.get(_cookie_name(environ))
        if held is None or not hmac.compare_digest(held.value.encode(), self._proof.encode()):
            raise Refused(401, "Open the address that was printed where the dashboard was started: it holds the token.")

    def _check_body(self, environ: WSGIEnvironment) -> None:
        if str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "Only JSON is taken.")
        try:
            size = int(environ.get("CONTENT_LENGTH") or 0)
        except ValueError:
            size = -1
        if size > MAX_BODY:
            raise Refused(413, f"More than {MAX_BODY} bytes.")
        body = environ["wsgi.input"].read(size) if size > 0 else b""
        if not self._requests.is_update(body):
            raise Refused(400, "No page asks that.")
        environ["wsgi.input"] = io.BytesIO(body)


def _cookie_name(environ: WSGIEnvironment) -> str:
    """Browsers give cookies to every port of a host: two dashboards must not take each other's."""
    return f"lit-transformer-{environ.get('SERVER_PORT', '')}"


def _caching(environ: WSGIEnvironment) -> str:
    """Dash's own scripts may be kept and asked after; what is in runs may not."""
    return "no-cache" if str(environ.get("PATH_INFO", "")).startswith((SUITES, "/assets/")) else "no-store"


def security_headers(scripts: Iterable[str]) -> Headers:
    """Nothing from elsewhere, no frames, no types guessed; styles inline, since plotly and the table write them."""
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", *scripts]),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return [
        ("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items())),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]
