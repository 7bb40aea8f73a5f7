"""Requests to a sweep's workers: who sees which."""

import time
from pathlib import Path

import pytest

from lit_transformer.records.atomic import write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep import requests
from lit_transformer.sweep.growing import PlanWatch
from lit_transformer.sweep.requests import StopRequest, ask_to_stop, read_retries, set_retries


def test_a_request_reaches_those_that_were_there_and_nobody_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "LOOK_SECONDS", 0.0)
    folder = SweepFolder(tmp_path)
    first = StopRequest(folder)
    assert not first.asked()
    ask_to_stop(folder)
    later = StopRequest(folder)
    assert first.asked()
    assert not later.asked()
    ask_to_stop(folder)
    assert later.asked()
    folder.stop_file.unlink()
    assert first.asked() and later.asked()


def test_the_file_is_not_looked_at_in_every_poll(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    request = StopRequest(folder)
    ask_to_stop(folder)
    before = request._looked
    while not request.asked():
        assert request._looked == before
        time.sleep(0.05)
    assert request._looked - before > requests.LOOK_SECONDS


def test_retries(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    assert read_retries(folder) == 0
    set_retries(folder, 0)
    assert not folder.policy_file.exists()
    set_retries(folder, 2)
    assert read_retries(folder) == 2
    folder.policy_file.write_text("{")
    assert read_retries(folder) == 0


def test_a_plan_that_was_replaced_is_seen_once(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    write_json(folder.plan_file, {"cells": []})
    watch = PlanWatch(folder)
    assert not watch.changed()
    write_json(folder.plan_file, {"cells": []})
    assert [watch.changed(), watch.changed()] == [True, False]
    folder.plan_file.unlink()
    assert not watch.changed()
