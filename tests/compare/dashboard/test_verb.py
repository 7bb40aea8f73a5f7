"""The verb: the address it prints, the port it takes, how it ends, and what it refuses."""

import http.client
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.compare.dashboard.serve import listen
from lit_transformer.compare.dashboard.verb import address, check_token, dashboard
from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """A dashboard of its own, and the address that it printed."""
    command = [sys.executable, "-m", "lit_transformer", "dashboard", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_next_free_port_is_used_and_said_and_ctrl_c_ends_well(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process, shown = start(str(tmp_path), "--port", str(port))
        found = re.fullmatch(r"http://localhost:(\d+)/", shown)
        assert found and int(found[1]) > port
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert f"port {port} is taken; {found[1]} is used" in told and "Traceback" not in told


@pytest.mark.slow
def test_a_dashboard_that_others_reach_is_opened_by_its_token(tmp_path: Path) -> None:
    process, shown = start(str(tmp_path), "--host", "0.0.0.0", "--token", "auto", "--port", "18650")
    found = re.fullmatch(r"http://localhost:(\d+)/\?token=([\w-]{32})", shown)
    try:
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        statuses = []
        for path in ("/", f"/?token={found[2]}"):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        assert statuses == [401, 303]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_host_that_others_reach_needs_a_token_that_cannot_be_guessed(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "lab-server", ""):
        with pytest.raises(UserError, match=r"--host(.|\n)*got(.|\n)*allowed(.|\n)*fix(.|\n)*--token auto"):
            dashboard(tmp_path, host=host)
        assert len(check_token(host, "auto") or "") == 32
    assert check_token("127.0.0.1", None) is None and check_token("::1", None) is None
    assert check_token("127.0.0.1", "auto") != check_token("127.0.0.1", "auto")
    for token in ("", "short", "x" * 15, "with space and more", "é" * 20, "a&b=c" * 5):
        with pytest.raises(UserError, match=r"--token(.|\n)*got(.|\n)*at least 16(.|\n)*fix"):
            check_token("127.0.0.1", token)
    assert (
        address("0.0.0.0", 1, "t") == "http://localhost:1/?token=t"
        and address("fd00::1", 2, None) == "http://[fd00::1]:2/"
    )


def test_ports_and_folders_that_are_none_are_named(tmp_path: Path) -> None:
    for port in (0, -1, 65536):
        with pytest.raises(UserError, match=r"--port(.|\n)*got(.|\n)*allowed(.|\n)*fix"):
            dashboard(tmp_path, port=port)
    with pytest.raises(UserError, match="no such folder"):
        dashboard(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"--host(.|\n)*name or address of this machine"):
        listen("203.0.113.7", 18_700)


def test_when_no_port_after_it_is_free_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_transformer.compare.dashboard.serve.TRIES", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"--port(.|\n)*got(.|\n)*allowed(.|\n)*fix"):
            listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.slow
def test_dash_is_loaded_by_its_verb_alone(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run_writer(tmp_path / "a")
    code = (
        "import sys\nfrom pathlib import Path\nimport lit_transformer.cli\n"
        "from lit_transformer.compare.verb import compare\n"
        "import lit_transformer.compare.dashboard.verb\n"
        f"compare(Path({str(tmp_path)!r}))\n"
        "print([name for name in ('dash', 'flask', 'waitress', 'torch') if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"
