"""Real data sets, where the project has them: their rows, labels and splits are the published ones."""

from collections.abc import Callable

import pytest

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.locate import data_root
from lit_transformer.data.prepare_rows import prepare_rows

MakeRows = Callable[..., ExperimentConfig]
DATA = data_root()
"""Before a test's own folder takes its place."""


@pytest.fixture(autouse=True)
def _real_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_TRANSFORMER_DATA", str(DATA))


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (DATA / name).is_dir(), reason=f"needs the shared data: {name}")


@needs("multi30k")
def test_multi30k(config: MakeRows) -> None:
    names = {"": "train", "val_": "val", "test_": "test_2016_flickr"}
    paths = {f"{role}path": f"multi30k/{name}.en" for role, name in names.items()}
    targets = {f"{role}target_path": f"multi30k/{name}.de" for role, name in names.items()}
    made = config(
        "translation", model="encoder_decoder", context_length=256, source="text", empty="refuse", too_long="refuse",
        **paths, **targets,
    )  # fmt: skip
    prepared = prepare_rows(made)
    assert prepared.rows == {"train": 29000, "val": 1014, "test": 1000}
    assert prepared.texts("test")[0] == {
        "source": "A man in an orange hat starring at something.",
        "target": "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
    }


@needs("sst2")
def test_sst2(config: MakeRows) -> None:
    paths = {"path": "sst2/train.tsv", "val_path": "sst2/dev.tsv", "test_path": "sst2/test.tsv"}
    words = {"label_words": "negative, positive"}
    made = config("classification", objective=words, source="tsv", text_key="1", label_key="2", **paths)
    prepared = prepare_rows(made)
    assert prepared.rows == {"train": 6920, "val": 872, "test": 1821}
    assert prepared.labels == ("negative", "positive")
    assert [int(prepared.label_ids(split).sum()) for split in prepared.rows] == [3610, 444, 909]
    assert prepared.majority == {"train": 3610 / 6920, "val": 444 / 872, "test": 912 / 1821}
    assert prepared.truncated == prepared.dropped == {}


@needs("copa")
def test_copa(config: MakeRows) -> None:
    made = config(
        "multiple_choice", source="copa", path="copa/copa-dev.xml", test_path="copa/copa-test.xml", val_fraction=0.2
    )
    prepared = prepare_rows(made)
    assert prepared.rows == {"train": 400, "val": 100, "test": 500}
    rights = [prepared.label_ids(split).tolist() for split in ("train", "val", "test")]
    assert (rights[0] + rights[1]).count(0) == rights[2].count(0) == 250
    assert prepared.majority["test"] == 0.5
    assert prepared.texts("train")[0]["context"] == "My body cast a shadow over the grass because"
    assert prepared.texts("val")[0] != prepared.texts("train")[-1]
