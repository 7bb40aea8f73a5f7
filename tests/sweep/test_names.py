"""Names of cells: readable, unique, stable, safe as file names."""

import itertools

from lit_transformer.sweep.names import LONGEST, cell_name, identity, slug


def test_readable_and_independent_of_the_order_of_keys() -> None:
    values = {"model.num_layers": 4, "model.num_heads": 2}
    assert cell_name(values) == "num_heads=2,num_layers=4"
    assert cell_name(dict(reversed(values.items()))) == "num_heads=2,num_layers=4"
    assert cell_name({"optimizer.lr": 1e-5, "model.bias": True, "seed": 0}) == "bias=true,lr=1e-05,seed=0"


def test_keys_with_the_same_end_are_written_whole() -> None:
    assert cell_name({"data.tokenizer.kind": "bpe", "model.kind": "gpt"}) == "data.tokenizer.kind=bpe,model.kind=gpt"


def test_values_that_read_alike_have_names_of_their_own() -> None:
    values = [1, "1", True, "true", None, "null", 1.5, "1.5", "a b", "a-b", "A", "a", [1, 2], [12], "", "x" * 300,
              "x" * 301, {"a": 1}, "experiments/gpt_tiny.yaml", "../up", "a,b=c", "é", 10**30, 1e-30]  # fmt: skip
    names = [cell_name({"key": value}) for value in values]
    assert len({name.lower() for name in names}) == len(values)
    for name in names:
        assert len(name) <= LONGEST
        assert "/" not in name
        assert name.isascii()
        assert not name.startswith(".")


def test_every_point_of_a_grid_has_a_name_of_its_own() -> None:
    axes = {"a.x": [0.1, 0.01, 1], "b.x": ["a", "b,c=d", None], "c": [True, 1, 2]}
    cells = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    assert len({cell_name(cell) for cell in cells}) == 27


def test_whole_floats_are_integers_as_in_wandb() -> None:
    assert identity(8.0) == identity(8)
    assert identity(True) != identity(1)
    assert cell_name({"lr": 1.0}) == cell_name({"lr": 1})


def test_slug_is_a_folders_name() -> None:
    assert slug("heads x layers/1") == "heads-x-layers-1"
    assert slug("../..") == "sweep"
