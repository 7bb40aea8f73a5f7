"""What the dashboard answers and refuses: by name, origin, method, path, body and token, through real sockets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lit_transformer.compare.dashboard.hosts import allowed_names, name_in, name_in_origin
from lit_transformer.compare.dashboard.requests import MAX_BODY, UPDATE
from lit_transformer.config.errors import UserError
from tests.compare.dashboard.site import Site, serve

TOKEN = "t" * 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, module_runs: Callable[[Path], Path]) -> Path:
    return module_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Site]:
    yield from serve(folder, names=("lab-server",))


@pytest.fixture(scope="module")
def guarded_site(folder: Path) -> Iterator[Site]:
    yield from serve(folder, token=TOKEN)


def look(version: int = 0) -> dict[str, object]:
    """The clock's question, as a page asks it."""
    return {
        "output": "version.data",
        "outputs": {"id": "version", "property": "data"},
        "inputs": [{"id": "tick", "property": "n_intervals", "value": 1}],
        "changedPropIds": ["tick.n_intervals"],
        "state": [{"id": "version", "property": "data", "value": version}],
    }


def post(site: Site, body: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return site.ask("POST", UPDATE, content, **{"Content_Type": "application/json", **headers})


def test_pages_are_served_with_nothing_from_elsewhere(site: Site) -> None:
    for path in ("/", "/curves", "/run", "/compare", "/sweep"):
        status, headers, body = site.ask(path=path)
        assert status == 200, path
        policy = headers["content-security-policy"]
        assert ("unsafe-eval" in policy) == (path == "/sweep")  # plotly's parallel coordinates compile their shaders
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        script = policy.partition("script-src")[2].partition(";")[0]
        assert "unsafe-inline" not in script and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer" and headers["cache-control"] == "no-store"
        assert not any(name.startswith("access-control") for name in headers) and "server" not in headers
        assert b"cdn." not in body and b'src="http' not in body and b'href="http' not in body


def test_clock_answers_a_page_and_says_nothing_when_nothing_is_new(site: Site) -> None:
    status, _, body = post(site, look(-1))
    assert status == 200
    version = json.loads(body)["response"]["version"]["data"]
    assert post(site, look(version))[:1] == (204,)


GOOD_HOSTS = (
    "localhost",
    "localhost:9000",
    "LOCALHOST:8050",
    "127.0.0.1",
    "127.0.0.1:1",
    "[::1]",
    "[::1]:65535",
    "lab-server",
    "lab-server:8050",
)
BAD_HOSTS = [
    "",
    "evil.example",
    "evil.example:8050",
    "localhost.evil.example",
    "evil-localhost",
    "localhost.",
    "localhost..",
    "localhost:",
    "localhost:0",
    "localhost:65536",
    "localhost:8050:1",
    "localhost:80a",
    "localhost:-1",
    "localhost:+1",
    "localhost:８０５０",
    "localhost,evil.example",
    "localhost evil",
    "localhost@evil.example",
    "evil.example@localhost",
    "localhost#evil",
    "localhost/evil",
    "localhost\\evil",
    "localhost?x",
    "http://localhost",
    "//localhost",
    "*",
    "null",
    "0.0.0.0",
    "0.0.0.0:8050",
    "0",
    "127.0.0.2",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.0.0.1.nip.io",
    "127.0.0.1.evil.example",
    "[::]",
    "[::ffff:127.0.0.1]",
    "::1",
    "[::1",
    "::1]",
    "[::1]evil",
    "[::1].evil",
    "[0:0:0:0:0:0:0:1]",
    "10.0.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "ⅼocalhost",
    "locаlhost",
    "localhost\u200b",
    "lab-server.evil",
    "xlab-server",
    "lab_server",
    "%6cocalhost",
]
BAD_ORIGINS = [
    "null",
    "",
    "NULL",
    "http://evil.example",
    "https://evil.example:8050",
    "http://localhost.evil.example",
    "localhost",
    "http://evil-localhost",
    "http://localhost.",
    "http://localhost@evil.example",
    "http://evil.example@localhost",
    "http://localhost:8050@evil.example",
    "http://localhost/evil",
    "http://localhost#",
    "http://localhost?",
    "http:localhost",
    "http:/localhost",
    "http:///localhost",
    "//localhost",
    "file://localhost",
    "ftp://localhost",
    "data:text/html,x",
    "javascript://localhost",
    "chrome-extension://localhost",
    "moz-extension://localhost",
    "about:blank",
    "blob:http://localhost",
    "HTTP://LOCALHOST.evil",
    "http://[::1",
    "http://[::]",
    "http://0.0.0.0",
    "http://127.0.0.1.nip.io",
    "http://127.1",
    "http://localhost, http://evil.example",
    "http://localhost http://evil.example",
    "http://*",
    "*",
    "http://%6cocalhost",
    "http://localhost:0",
    "http://localhost:99999",
    "http://localhost:80:80",
    "http://ⅼocalhost",
    "ws://localhost",
    "wss://localhost",
    "http://10.0.0.1",
    "http://lab-server.evil",
    "http://169.254.169.254",
    "http://2130706433",
]


def test_hosts_are_an_exact_list_on_any_port(site: Site) -> None:
    for host in GOOD_HOSTS:
        assert site.ask(Host=host)[0] == 200, host
        assert post(site, look(-1), Host=host, Origin=f"http://{host}")[0] == 200, host
    assert len(BAD_HOSTS) + len(BAD_ORIGINS) >= 100
    for host in BAD_HOSTS:
        status, _, body = site.ask(Host=host)
        assert status in (400, 421) and b"_dash" not in body, host
        assert post(site, look(-1), Host=host)[0] in (400, 421), host


def test_pages_of_other_origins_get_nothing(site: Site) -> None:
    for origin in BAD_ORIGINS:
        for status, headers, body in (site.ask(Origin=origin), post(site, look(-1), Origin=origin)):
            assert status == 403 and b"_dash" not in body, origin
            assert not any(name.startswith("access-control") for name in headers)
    preflight = site.ask("OPTIONS", UPDATE, Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert preflight[0] == 403
    assert site.ask("OPTIONS", UPDATE)[0] == 405


def test_two_hosts_or_none_are_refused(site: Site) -> None:
    for request in (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ):
        answer = site.raw(request)
        assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 421", b"HTTP/1.0 421", b"HTTP/1.0 400"), answer[:80]


def test_nothing_but_get_head_and_dashs_own_post(site: Site) -> None:
    before = sorted((str(path), path.stat().st_mtime_ns) for path in site.root.rglob("*"))
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "MKCOL", "get", "X"):
        for path in ("/", UPDATE, "/assets/dashboard.css"):
            assert site.ask(method, path)[0] in (400, 405), (method, path)
    assert site.ask("POST", "/")[0] == 405 and site.ask("GET", UPDATE)[0] == 405
    status, headers, body = site.ask("HEAD", "/")
    assert status == 200 and body == b"" and "content-security-policy" in headers
    assert sorted((str(path), path.stat().st_mtime_ns) for path in site.root.rglob("*")) == before


def traversals() -> list[str]:
    """Forms of `..` that servers have fallen for, to a run's files and to the machine's."""
    ups = [
        "..",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%252e%252e",
        "..%00",
        "..;",
        "..%c0%af",
        "%c0%ae%c0%ae",
        "....//",
        "..%5c",
        "..\\",
    ]
    targets = ["etc/passwd", "config.yaml", "gpt/r0/result.json"]
    starts = ["/", "/assets/", "/_dash-component-suites/", "/_dash-component-suites/dash/", "/run/"]
    forms = [f"{start}{up}/{up}/{up}/{target}" for start in starts for up in ups for target in targets]
    forms += [
        "/etc/passwd",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/assets/%2fetc/passwd",
        "/assets/C:%5cwindows",
        "/_dash-component-suites/os/__init__.py",
        "/_dash-component-suites/dash/dash.py",
        "/assets/",
        "/assets",
        "/_dash-component-suites/lit_transformer/cli.py",
        "/_dash-component-suites/..",
        "/_reload-hash",
        "/_dash-component-suites/dash_ag_grid/__init__.py",
        "/_dash-component-suites/plotly/__init__.py",
        "/gpt/r0/config.yaml",
        "/runs/gpt/r0/metrics.jsonl",
        "/_alive_",
        "/console",
        "/_mcp",
        "/mcp",
        "/file:///etc/passwd",
    ]
    return forms


def test_no_path_leads_to_a_file(site: Site) -> None:
    assert len(traversals()) >= 100
    for path in traversals():
        status, _, body = site.ask(path=path)
        assert 400 <= status < 500, (path, status)
        assert b"root:" not in body and b"num_heads" not in body, path


def test_no_id_leads_to_a_file(site: Site) -> None:
    """Ids are looked up: a path in a page's address or in a callback is an unknown run, whatever it points at."""
    for form in [*traversals()[:60], "gpt/r0", "../gpt/r0", str(site.root / "gpt" / "r0"), "", "\x00", "a" * 5000]:
        asked = {
            "output": "page.children",
            "outputs": {"id": "page", "property": "children"},
            "state": [],
            "inputs": [
                {"id": "url", "property": "pathname", "value": "/run"},
                {"id": "url", "property": "search", "value": f"?id={form}"},
            ],
            "changedPropIds": ["url.search"],
        }
        status, _, body = post(site, asked)
        assert status == 200 and b"No such run" in body and b"num_heads" not in body, form


def test_unknown_callbacks_and_damaged_bodies_are_4xx(site: Site) -> None:
    known = look(-1)
    for change in (
        {"output": "nobody.knows"},
        {"output": None},
        {"output": ["version.data"]},
        {"inputs": []},
        {"inputs": None},
        {"inputs": [{"id": "tick", "property": "other", "value": 1}]},
        {"state": [1]},
        {"outputs": []},
        {"outputs": {"id": "page", "property": "children"}},
        {"changedPropIds": [1]},
        {"changedPropIds": "x"},
        {"output": "..version.data.."},
        {"outputs": None},
    ):
        assert post(site, {**known, **change})[0] == 400, change
    deep: object = 1
    for _ in range(50):
        deep = [deep]
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
        json.dumps({**known, "state": deep}).encode(),
    ):
        assert post(site, body)[0] == 400, body[:20]
    assert post(site, look(-1), Content_Type="text/plain")[0] == 415
    assert site.ask("POST", UPDATE, json.dumps(look(-1)).encode())[0] == 415
    # Its length alone: who sends all of it may find the connection closed before the answer is read.
    head = f"POST {UPDATE} HTTP/1.1\r\nHost: localhost:{site.port}\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n"
    assert site.raw(head.encode()).startswith(b"HTTP/1.1 413 ")


def test_token_comes_once_in_the_address_and_then_in_a_cookie(guarded_site: Site) -> None:
    site = guarded_site
    assert site.ask()[0] == 401 and post(site, look(-1))[0] == 401 and site.ask(path="/assets/dashboard.css")[0] == 401
    for wrong in ("", "x", TOKEN[:-1], TOKEN + "t", TOKEN.upper(), "%00", "é"):
        assert (
            site.ask(path=f"/?token={wrong}".encode().decode("latin-1") if wrong.isascii() else "/?token=%C3%A9")[0]
            == 401
        )
    status, headers, _ = site.ask(path=f"/run?id=x&token={TOKEN}")
    assert status == 303 and headers["location"] == "/run?id=x" and TOKEN not in headers["set-cookie"]
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert site.ask(Cookie=cookie)[0] == 200 and post(site, look(-1), Cookie=cookie)[0] == 200
    assert site.ask(Cookie=cookie[:-1])[0] == 401 and site.ask(Cookie=f"{cookie.partition('=')[0]}={TOKEN}")[0] == 401
    status, headers, _ = site.ask(path=f"//evil.example/?token={TOKEN}")
    assert status in (401, 404) and "location" not in headers


def test_names_are_read_as_browsers_write_them() -> None:
    assert name_in("LocalHost:1") == "localhost" and name_in("[::1]:80") == "[::1]" and name_in("a b") is None
    assert name_in_origin("https://Lab:9") == "lab" and name_in_origin("null") is None
    assert allowed_names("127.0.0.1", ()) == {"localhost", "127.0.0.1", "[::1]"}
    assert "192.168.1.7" in allowed_names("192.168.1.7", ()) and "0.0.0.0" not in allowed_names("0.0.0.0", ())


@pytest.mark.parametrize("name", ["http://lab", "lab:8050", "", "a b", "lab/x", "*"])
def test_names_that_are_none_are_refused_with_a_fix(name: str) -> None:
    with pytest.raises(UserError, match=r"--allow-host(.|\n)*got(.|\n)*allowed(.|\n)*fix"):
        allowed_names("127.0.0.1", (name,))
