import pytest

from lit_transformer.records.run_folder import RunFolder, find_runs
from lit_transformer.records.sweep_folder import SweepFolder, sweep_of


def frozen(path):
    run = RunFolder(path)
    run.freeze({"seed": 1, "model": {"num_heads": 2}}, {"seed": "default"}, {"folder": "/x"})
    return run


def test_what_is_frozen_reads_back(tmp_path):
    run = frozen(tmp_path / "a")
    assert run.exists()
    assert run.read_config() == {"seed": 1, "model": {"num_heads": 2}}
    assert run.read_origins() == {"seed": "default"}


def test_damaged_files_hide_nothing_else(tmp_path):
    run = frozen(tmp_path / "a")
    run.metrics_file.write_text('{"step": 1, "train/loss": 2.0}\nnonsense\n[3]\n{"step": 2, "train/lo')
    assert run.read_metrics() == [{"step": 1, "train/loss": 2.0}]
    run.config_file.write_bytes(b"\xff: [")
    run.result_file.write_text("{")
    assert run.read_config() == {} and run.read_result() == {} and run.read_system() == []


def test_status_follows_the_result_then_the_lock(tmp_path):
    run = frozen(tmp_path / "a")
    assert run.status() == "stopped"
    with run.lock:
        assert run.status() == "running"
        run.result_file.write_text('{"status": "complete"}')
        assert run.status() == "complete"
    run.result_file.write_text('{"status": "brewing"}')
    assert run.status() == "stopped"


def test_runs_are_found_under_any_folder_without_following_links(tmp_path):
    sweep = SweepFolder(tmp_path / "sweeps" / "s")
    runs = [frozen(tmp_path / "gpt" / "r1"), frozen(sweep.cells / "c1"), frozen(sweep.cells / "c2")]
    frozen(runs[0].path / "inner")
    (tmp_path / "link").symlink_to(tmp_path / "gpt")
    assert find_runs(tmp_path) == runs
    assert find_runs(runs[0].path) == runs[:1]
    assert sweep_of(runs[1]) is None
    sweep.sweep_file.write_text("")
    assert sweep_of(runs[1]) == sweep
    assert sweep_of(runs[0]) is None


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json"])
def test_an_unreadable_file_is_an_empty_one(tmp_path, name):
    run = frozen(tmp_path / "a")
    (run.path / name).mkdir()
    assert run.read_metrics() == [] and run.read_result() == {}
