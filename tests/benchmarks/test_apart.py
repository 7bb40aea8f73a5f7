"""A measurement of its own process: its result, its failure, and memory that is nobody else's."""

import os

import pytest
from apart import apart


def test_another_process_gives_the_result():
    assert apart(os.getpid) not in (os.getpid(), None)
    assert apart(lambda: {"a": 1}) == {"a": 1}


def test_nothing_that_it_does_stays():
    kept = []
    assert apart(lambda: kept.append(1) or len(kept)) == 1
    assert kept == []


def test_a_failure_is_told_in_its_own_words():
    def fails():
        raise ValueError("no such network")

    with pytest.raises(RuntimeError, match="ValueError: no such network"):
        apart(fails)


def test_a_process_that_dies_is_told():
    with pytest.raises(RuntimeError, match="exit status 7"):
        apart(lambda: os._exit(7))
