"""Budgets of real runs: what is frozen is what was trained, and a resumed run keeps it."""

from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import from_plain, load_layers
from lit_transformer.training.fit import reopened, resume
from lit_transformer.training.prepare import prepare
from lit_transformer.training.resume import frozen_layer, refuse_budgets
from lit_transformer.training.solve import described, solve_steps

WIDTHS = ("model.d_model", "trainer.max_steps")


@pytest.fixture(scope="session")
def open_settings(tiny_settings: list[str]) -> list[str]:
    """The tiny experiment without what budgets decide."""
    return [setting for setting in tiny_settings if not setting.startswith(WIDTHS)]


def test_what_is_trained_costs_what_the_budgets_say(
    open_settings: list[str], runner: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lit_transformer.training.fit import freeze
    from tests.training.proofs import complete

    budgets = ["budget.parameters=20000", "budget.total_flops=6e8"]
    loaded = load_layers([shell_layer([*open_settings, *budgets])])
    prepared = prepare(loaded.config)
    run, config = freeze(loaded, prepared, tmp_path / "run")
    assert set(prepared.solved) == {"model.d_model", "model.d_ff", "trainer.max_steps"}
    assert described(config, prepared.solved).startswith(
        "solved for parameters 20,000 and total_flops 600,000,000: d_model"
    )
    assert run.read_origins()["model.d_ff"] == "budget"
    result = complete(runner, run).read_result()  # type: ignore[arg-type]
    assert result["parameters"] == pytest.approx(20_000, rel=0.02)
    assert result["flops"] == pytest.approx(6e8, rel=0.02)
    assert result["steps"] == prepared.solved["trainer.max_steps"] == config.trainer.max_steps
    rows = run.read_metrics()
    assert rows[-1]["step"] == result["steps"] and rows[-1]["val/loss"] is not None, "the last step is validated"
    last = config.optimizer.lr * config.schedule.min_lr_ratio
    assert rows[-1]["lr"] == pytest.approx(last, rel=0.1), "the schedule ends with the run"
    monkeypatch.setattr("lit_transformer.training.solve.solve_steps", lambda *_: 1)  # as a later version might solve
    _, again = reopened(run, load_layers([frozen_layer(run), shell_layer(["trainer.keep=all"])]), allow_drift=False)
    assert (again.model, again.trainer.max_steps) == (config.model, config.trainer.max_steps)
    assert from_plain(run.read_config()) == again
    with pytest.raises(UserError, match=r"budget\.parameters"):
        resume(run.path, [shell_layer(["budget.parameters=30000"])], allow_drift=True)


def test_a_run_that_has_begun_keeps_its_budget() -> None:
    refuse_budgets([shell_layer(["seed=1"])])
    with pytest.raises(UserError, match=r"budget.total_flops\n  at       command line\n  got      10 for a run"):
        refuse_budgets([shell_layer(["budget.total_flops=10"])])


@pytest.mark.parametrize(("total", "steps"), [(1000, 100), (1014, 101), (996, 100), (10, 1)])
def test_steps(total: int, steps: int) -> None:
    assert solve_steps(total, 10) == steps


@pytest.mark.parametrize(("total", "nearest"), [(35, "30 (3 steps) or 40 (4 steps)"), (3, "10 (1 step)")])
def test_steps_that_cost_too_much_to_meet_a_budget(total: int, nearest: str) -> None:
    with pytest.raises(UserError) as error:
        solve_steps(total, 10)
    assert nearest in str(error.value) and f"got      {total}, where a step costs 10" in str(error.value)
