"""`model.init_from: RUN`: which weights are taken, which are new, and what is refused."""

import dataclasses
import shutil

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import with_values
from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config
from lit_transformer.interop import initialise
from lit_transformer.models.for_task import build_network
from tests.interop.networks import EVERY, SHAPE, make_config, make_network, make_run


def changed(config, **model):
    return dataclasses.replace(config, model=dataclasses.replace(config.model, **model))


@pytest.fixture
def gpt(tmp_path):
    """A run, its network and its configuration."""
    config = make_config(GPTConfig(**SHAPE), vocab_size=20)
    network = make_network(config)
    return make_run(tmp_path / "run", network, config), network, config


@pytest.mark.parametrize("model", [*(model for model, _ in EVERY.values()), GLMConfig(**SHAPE)])
def test_the_same_network_gets_the_same_bits(tmp_path, model):
    config = make_config(model, vocab_size=20)
    network = make_network(config)
    run = make_run(tmp_path / "run", network, config)
    again = build_network(config)
    report = initialise(again, str(run))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert len(report.taken) == len(network.state_dict())
    assert (report.new, report.unused, report.extended, report.shortened) == ((), (), {}, {})


@pytest.mark.parametrize(
    ("model", "objective", "new", "unused"),
    [
        (BertConfig(**SHAPE), {}, {"output", "pooler"}, {"lm_head"}),
        (BertConfig(**SHAPE), {"next_sentence": True}, {"output"}, {"lm_head", "next_sentence_head"}),
        (GPTConfig(**SHAPE), {}, {"output"}, set()),
        (GPTConfig(**SHAPE, tie_embeddings=False), {}, {"output"}, set()),
    ],
)
@pytest.mark.parametrize("task", ["classification", "multiple_choice"])
def test_a_head_on_a_pretrained_body(tmp_path, model, objective, new, unused, task):
    config = make_config(model, vocab_size=20, **objective)
    network = make_network(config)
    run = make_run(tmp_path / "run", network, config)
    head = build_network(make_config(model, vocab_size=20, task=task, name="label"))
    fresh = head.output.weight.clone()
    report = initialise(head, str(run))
    assert {name.partition(".")[0] for name in report.new} == new
    assert {name.partition(".")[0] for name in report.unused} == unused
    shared = network.state_dict()
    assert all(torch.equal(head.state_dict()[f"body.{name}"], shared[name]) for name in report.taken)
    assert torch.equal(head.output.weight, fresh)
    assert "token_embedding.weight" in report.taken and f"taken {len(report.taken)} of" in str(report)


def test_from_one_head_to_another(tmp_path):
    config = with_values(make_config(BertConfig(**SHAPE), vocab_size=20, task="classification", name="label"),
                         {"model.num_classes": 3})  # fmt: skip
    network = make_network(config)
    run = str(make_run(tmp_path / "run", network, config))
    again = build_network(config)
    assert not initialise(again, run).new and torch.equal(again.output.weight, network.output.weight)
    for other in (with_values(config, {"model.num_classes": 2}), dataclasses.replace(config, task="multiple_choice")):
        report = initialise(build_network(other), run)
        assert "output.weight" in report.new and "output.weight" in report.unused
    plain = build_network(make_config(BertConfig(**SHAPE), vocab_size=20))
    report = initialise(plain, run)
    assert {name.partition(".")[0] for name in report.new} == {"lm_head"}
    assert torch.equal(plain.token_embedding.weight, network.body.token_embedding.weight)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (GPTConfig(**SHAPE, tie_embeddings=False), {"token_embedding.weight", "head.weight"}),
        (BertConfig(**SHAPE), {"token_embedding.weight", "lm_head.output_bias"}),
        (BertConfig(**SHAPE, tie_embeddings=False),
         {"token_embedding.weight", "lm_head.output_bias", "lm_head.output.weight"}),
        (EncoderDecoderConfig(**SHAPE, share_embeddings=False), {"token_embedding.weight", "source_embedding.weight"}),
        (T5Config(**SHAPE), {"token_embedding.weight"}),
    ],
)  # fmt: skip
def test_a_longer_vocabulary_keeps_fresh_rows_for_what_was_appended(tmp_path, model, names):
    config = make_config(model, vocab_size=20)
    network = make_network(config)
    run = make_run(tmp_path / "run", network, config)
    longer = make_network(changed(config, vocab_size=23), seed=1)
    fresh = {name: tensor.clone() for name, tensor in longer.state_dict().items()}
    report = initialise(longer, str(run))
    assert dict(report.extended) == dict.fromkeys(names, (20, 23))
    for name in names:
        now = longer.state_dict()[name]
        assert torch.equal(now[:20], network.state_dict()[name]) and torch.equal(now[20:], fresh[name][20:])
    assert "(its first 20 rows of 23)" in str(report)
    with pytest.raises(UserError, match=r"model.vocab_size\n  got      token_embedding.weight \(17, 16\)"):
        initialise(build_network(changed(config, vocab_size=17)), str(run))


@pytest.mark.parametrize(
    "model",
    [GPTConfig(**SHAPE), BertConfig(**SHAPE), GLMConfig(**SHAPE), EncoderDecoderConfig(**SHAPE, positions="learned")],
)
def test_fewer_places_take_the_first_ones_and_more_are_refused(tmp_path, model):
    config = make_config(model, vocab_size=20)
    network = make_network(config)
    run = str(make_run(tmp_path / "run", network, config))
    shorter = build_network(changed(config, context_length=10))
    report = initialise(shorter, run)
    assert report.shortened and not report.new
    for name, (rows, whole) in report.shortened.items():
        assert whole == len(network.state_dict()[name]) and rows in (10, 11)
        assert torch.equal(shorter.state_dict()[name], network.state_dict()[name][:rows])
    with pytest.raises(UserError, match=r"model.context_length\n  got      .*positions?(_embedding)?.weight \(4"):
        initialise(build_network(changed(config, context_length=40)), run)


def test_places_that_are_computed_have_no_end(tmp_path):
    config = make_config(GPTConfig(**SHAPE, positions="rope"), vocab_size=20)
    run = make_run(tmp_path / "run", make_network(config), config)
    assert not initialise(build_network(changed(config, context_length=100)), str(run)).new


def test_other_depths(gpt):
    run, network, config = gpt
    report = initialise(build_network(changed(config, num_layers=3)), str(run))
    assert {name[:9] for name in report.new} == {"blocks.2."} and "new        blocks.2.*" in str(report)
    shallow = build_network(changed(config, num_layers=1))
    report = initialise(shallow, str(run))
    assert not report.new and {name[:9] for name in report.unused} == {"blocks.1."}
    assert torch.equal(shallow.blocks[0].attention.input.weight, network.blocks[0].attention.input.weight)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_model": 32}, "model.d_model\n  got      32\n  allowed  16"),
        ({"d_ff": 20}, "model.d_ff"),
        ({"num_heads": 4}, "model.num_heads\n  got      4\n  allowed  2"),
        ({"num_kv_heads": 1}, "model.num_kv_heads"),
        ({"norm_position": "post"}, "model.norm_position"),
        ({"activation": "relu"}, "model.activation"),
        ({"positions": "rope"}, "model.positions"),
        ({"bias": False}, "model.bias"),
        ({"tie_embeddings": False}, "model.tie_embeddings"),
    ],
)
def test_another_network_is_refused_by_its_settings(gpt, change, words):
    run, _, config = gpt
    with pytest.raises(UserError, match="the weights do not fit this network") as caught:
        initialise(build_network(changed(config, **change)), str(run))
    assert words in str(caught.value)
    assert str(caught.value).count("  got ") == 1


def test_nulls_mean_what_they_stand_for(gpt):
    run, _, config = gpt
    assert not initialise(build_network(changed(config, d_ff=64, num_kv_heads=2)), str(run)).new


def test_another_kind_is_refused(gpt):
    run, _, _ = gpt
    with pytest.raises(UserError, match=r"model.kind\n  got      bert\n  allowed  gpt, as "):
        initialise(build_network(make_config(BertConfig(**SHAPE), vocab_size=20)), str(run))


def test_a_damaged_checkpoint_is_found_and_another_one_taken(gpt):
    run, network, config = gpt
    best = run / "checkpoints" / "best.ckpt"
    data = bytearray(best.read_bytes())
    data[len(data) // 2] ^= 1  # torch.load would see nothing
    best.write_bytes(data)
    report = initialise(build_network(config), str(run))
    assert "best.ckpt" in report.remarks[0] and "SHA-256 differs" in report.remarks[0]
    assert "last.ckpt of step 10" in str(report)
    best.unlink()
    again = build_network(config)
    initialise(again, str(run))
    assert torch.equal(again.token_embedding.weight, network.token_embedding.weight)
    for path in (run / "checkpoints").glob("*.ckpt"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"has no good checkpoint(.|\n)*1000 bytes instead of(.|\n)*fit --resume"):
        initialise(build_network(config), str(run))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="has no good checkpoint"):
        initialise(build_network(config), str(run))


def test_a_run_that_is_gone(gpt):
    run, _, config = gpt
    network = build_network(config)
    with pytest.raises(UserError, match=r"no such folder\n(.|\n)*did you mean .*/run\?"):
        initialise(network, f"{run}n")
    with pytest.raises(UserError, match=r"without config.json\n(.|\n)*did you mean .*/run\?"):
        initialise(network, f"hf:{run}")
