"""A stand-in for W&B's server: what of GraphQL and of file streams `wandb agent` and `wandb sync` speak."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class StandIn:
    """What came in, and the cells to hand out."""

    cells: list[dict[str, object]] = field(default_factory=list)
    """Settings of the cells, in order; agents get each once."""
    url: str = ""
    config: str = ""
    """The sweep's YAML as it was created."""
    hosts: list[str] = field(default_factory=list)
    """Agents that registered."""
    started: list[str] = field(default_factory=list)
    """Run ids handed out."""
    states: list[dict[str, bool]] = field(default_factory=list)
    """What agents said of their runs at each heartbeat."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Variables of every run that was created or updated."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Run -> the history that was streamed."""
    ended: dict[str, int] = field(default_factory=dict)
    """Run -> how often its stream was closed."""
    refuse: bool = False
    """Answer every query with an error."""
    queries: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of one GraphQL request."""
        self.queries.append(" ".join(query.split())[:120])
        if "upsertSweep" in query:
            self.config = given["config"]
            project = {"id": "p", "name": given["projectName"], "entity": {"id": "e", "name": "me"}}
            return {"upsertSweep": {"sweep": {"name": "sw1", "project": project}, "configValidationWarnings": []}}
        if "sweep(sweepName" in query:
            sweep = {"id": "s", "name": "sw1", "config": self.config, "state": "RUNNING", "runs": {"edges": []}}
            return {"project": {"sweep": sweep}}
        if "createAgent" in query:
            self.hosts.append(given["host"])
            return {"createAgent": {"agent": {"id": f"a{len(self.hosts)}"}}}
        if "agentHeartbeat" in query:
            state = json.loads(given["runState"])
            self.states.append(state)
            return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(self._commands(state))}}
        if "upsertBucket" in query:
            self.runs.append(given)
            return {"upsertBucket": {"bucket": self._bucket(given), "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/store/{name}"} for name in given.get("files", [])]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if "viewer" in query:
            viewer = {"id": "u", "entity": "me", "username": "me", "email": "me@example.org", "admin": False,
                      "flags": "{}", "teams": {"edges": []}, "apiKeys": {"edges": []}}  # fmt: skip
            return {"viewer": viewer}
        return {"serverInfo": {"features": [], "cliVersionInfo": {}, "latestLocalVersionInfo": None}}

    def _commands(self, state: dict[str, bool]) -> Sequence[dict[str, Any]]:
        if any(state.values()):
            return []
        with self.lock:
            if len(self.started) == len(self.cells):
                return [{"type": "exit"}]
            args = {key: {"value": value} for key, value in self.cells[len(self.started)].items()}
            self.started.append(f"run{len(self.started)}")
            return [{"type": "run", "run_id": self.started[-1], "program": None, "args": args}]

    def _bucket(self, given: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": given.get("project") or "p", "entity": {"id": "e", "name": "me"}}
        known = {"id": f"id-{given.get('name')}", "name": given.get("name"), "displayName": given.get("displayName")}
        return {**known, "config": None, "sweepName": None, "project": project, "historyLineCount": 0}

    def stream(self, run: str, body: dict[str, Any]) -> None:
        """One request of a run's file stream."""
        history = body.get("files", {}).get("wandb-history.jsonl") if body.get("files") else None
        if history:
            self.rows.setdefault(run, []).extend(map(json.loads, history["content"]))
        if body.get("complete"):
            self.ended[run] = self.ended.get(run, 0) + 1


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if self.path.endswith("/graphql"):
                if server.refuse:
                    self._send({"errors": [{"message": "permission denied"}]})
                else:
                    self._send({"data": server.answer(body.get("query", ""), body.get("variables") or {})})
                return
            if self.path.endswith("/file_stream"):
                server.stream(self.path.split("/")[-2], body)
            self._send({})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send({})

        def do_GET(self) -> None:
            self._send({})

        def _send(self, value: dict[str, Any]) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@contextmanager
def serving(cells: Sequence[dict[str, object]] = ()) -> Iterator[StandIn]:
    """A stand-in that listens until the block ends."""
    made = StandIn(cells=[*cells])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
