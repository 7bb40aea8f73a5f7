"""Thousands of requests between right and noise: each has an answer, none of them a fault of the server."""

import json
import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.requests import UPDATE
from lit_transformer.compare.dashboard.serve import guarded
from tests.compare.dashboard.site import Site, serve


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, module_runs: Callable[[Path], Path]) -> Iterator[Site]:
    yield from serve(module_runs(tmp_path_factory.mktemp("runs")))


def fuzz_request(
    chance: random.Random, known: list[dict[str, object]]
) -> tuple[str, str, bytes | None, dict[str, str]]:
    """A request somewhere between right and noise."""
    method = chance.choice(["GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"])
    noise = "".join(chance.choices(string.printable[:95], k=chance.randrange(0, 60))).replace(" ", "%20")
    path = chance.choice(
        [
            "/",
            "/curves",
            "/run",
            "/compare",
            "/sweep",
            "/_dash-layout",
            "/_dash-dependencies",
            f"/{noise}",
            f"/?{noise}",
            f"/run?id={noise}",
            f"/assets/{noise}",
            f"/_dash-component-suites/{noise}",
        ]
    )
    if method != "POST":
        return method, path, None, {}
    asked = json.loads(json.dumps(chance.choice(known)))
    for part in ("inputs", "state"):
        for item in asked[part]:
            item["value"] = fuzz_value(chance)
    if chance.random() < 0.2:
        asked[chance.choice([*asked])] = fuzz_value(chance)
    body = json.dumps(asked).encode()
    if chance.random() < 0.1:
        place = chance.randrange(len(body))
        body = body[:place] + bytes(chance.choices(range(256), k=3)) + body[place:]
    return method, UPDATE, body, {"Content_Type": "application/json"}


def fuzz_value(chance: random.Random, depth: int = 0) -> object:
    plain: list[Callable[[], object]] = [
        lambda: None,
        lambda: True,
        lambda: chance.randrange(-10, 10**6),
        lambda: 10**400,
        lambda: float("nan"),
        lambda: float("inf"),
        lambda: "val/loss",
        lambda: "\ud800",
        lambda: "x" * chance.randrange(2000),
        lambda: "../../etc/passwd",
        lambda: "tokens",
        lambda: "model.num_heads",
        lambda: ["model.num_heads", "seed"],
        lambda: "?metric=train/loss&runs=~~",
        lambda: {"xaxis.range[0]": 1, "xaxis.range[1]": 5},
        lambda: [5, 10],
        lambda: "/curves",
        lambda: "seed>0 num_heads=<b>",
    ]
    if depth < 3 and chance.random() < 0.2:
        return [fuzz_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if depth < 3 and chance.random() < 0.1:
        return {str(fuzz_value(chance, 3)): fuzz_value(chance, depth + 1) for _ in range(chance.randrange(4))}
    return chance.choice(plain)()


def own_questions(folder: Path) -> list[dict[str, object]]:
    """All questions that the pages ask of the server, without their values."""
    application = guarded(LiveIndex(folder), "127.0.0.1", (), None)
    questions = []
    for output, known in application._requests._app.callback_map.items():
        if "callback" not in known:
            continue
        several = output.startswith("..")
        names = [part.rsplit(".", 1) for part in (output[2:-2].split("...") if several else [output])]
        outputs = [{"id": id, "property": name} for id, name in names]
        filled = {part: [{**item, "value": None} for item in known[part]] for part in ("inputs", "state")}
        questions.append(
            {"output": output, "outputs": outputs if several else outputs[0], "changedPropIds": [], **filled}
        )
    return questions


def fuzz(site: Site, count: int, seed: int) -> None:
    chance, known = random.Random(seed), own_questions(site.root)
    assert len(known) > 15
    for number in range(count):
        method, path, body, headers = fuzz_request(chance, known)
        status, _, answer = site.ask(method, path, body, **headers)
        assert status < 500, (seed, number, method, path, body, answer[:300])
        assert b"root:" not in answer


def test_hundreds_of_fuzzed_requests_are_answered(site: Site) -> None:
    fuzz(site, 300, 1)
    assert site.ask()[0] == 200


@pytest.mark.slow
def test_ten_thousand_fuzzed_requests_are_answered(site: Site) -> None:
    fuzz(site, 10_000, 2)
    assert site.ask()[0] == 200
