"""GLM, and GPT as a prefix LM: an independent formula, who sees whom, generation with a cache."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lit_transformer.config.models import GLMConfig, GPTConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models import build_model
from lit_transformer.models.flops import training_cost
from lit_transformer.models.glm import GLM
from lit_transformer.models.gpt import GPT
from lit_transformer.nn.recompute import recompute_blocks

TIME, VOCAB = 10, 29
CONFIG = GLMConfig(num_layers=2, num_heads=4, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)
OPTIONS = [
    pytest.param(CONFIG, id="default"),
    pytest.param(replace(CONFIG, norm_position="post", activation="gelu", tie_embeddings=False), id="post-norm"),
    pytest.param(replace(CONFIG, activation="relu", d_ff=24, num_layers=3), id="relu"),
]
# The paper's example (figure 2): x1 x2 [M] x4 [M], then [S] x5 x6 and [S] x3; here with ids 1 to 6, [M] 27, [S] 28.
EXAMPLE = {
    "inputs": torch.tensor([[1, 2, 27, 4, 27, 28, 5, 6, 28, 3]]),
    "prefix_length": torch.tensor([5]),
    "positions": torch.tensor([[1, 2, 3, 4, 5, 5, 5, 5, 3, 3]]),
    "block_positions": torch.tensor([[0, 0, 0, 0, 0, 1, 2, 3, 1, 2]]),
}
SEEN = """\
xxxxx.....
xxxxx.....
xxxxx.....
xxxxx.....
xxxxx.....
xxxxxx....
xxxxxxx...
xxxxxxxx..
xxxxxxxxx.
xxxxxxxxxx"""  # who (row) sees whom (column)


def build(config: GLMConfig | GPTConfig) -> GLM | GPT:
    torch.manual_seed(0)
    model = build_model(config)
    assert isinstance(model, GLM | GPT)
    return model


def random_batch(rows: int = 3) -> dict[str, Tensor]:
    """Rows with prefixes of different lengths, one span each, two to four targets, and padding after them."""
    torch.manual_seed(1)
    prefix, spans = torch.randint(3, 6, (rows,)), torch.arange(rows) % 3 + 2
    places = torch.arange(TIME).expand(rows, TIME)
    inside = places < prefix[:, None]
    wanted = torch.arange(4) < spans[:, None]  # (rows, 4)
    return {
        "inputs": torch.randint(VOCAB, (rows, TIME)),
        "prefix_length": prefix,
        "positions": torch.where(inside, places + 1, 2),
        "block_positions": torch.where(inside, 0, places - prefix[:, None] + 1),
        "target_positions": (prefix[:, None] + torch.arange(4)).masked_fill(~wanted, 0),
        "targets": torch.randint(VOCAB, (rows, 4)).masked_fill(~wanted, -100),
    }


def reference_logits(model: GLM, inputs: Tensor, prefix: int, positions: Tensor, block_positions: Tensor) -> Tensor:
    """One row's logits (time, vocab_size) by plain formulas, from the network's weights alone."""
    config, weights = model.config, dict(model.named_parameters())
    act = {"gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
           "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))), "relu": lambda x: x.clamp(min=0)}  # fmt: skip
    width = config.d_model // config.num_heads

    def norm(name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + config.norm_eps).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def attend(name: str, x: Tensor) -> Tensor:
        queries, keys, values = linear(f"{name}.input", x).split(config.d_model, dim=-1)
        heads = []
        for part in (slice(head * width, (head + 1) * width) for head in range(config.num_heads)):
            rows = []
            for i in range(len(x)):
                seen = max(prefix, i + 1)
                scores = keys[:seen, part] @ queries[i, part] / math.sqrt(width)
                rows.append(values[:seen, part].T @ (scores.exp() / scores.exp().sum()))
            heads.append(torch.stack(rows))
        return linear(f"{name}.output", torch.cat(heads, dim=-1))

    def feed(name: str, x: Tensor) -> Tensor:
        return linear(f"{name}.output", act[config.activation](linear(f"{name}.input", x)))

    x = weights["token_embedding.weight"][inputs] + weights["position_embedding.weight"][positions]
    x = x + weights["block_position_embedding.weight"][block_positions]
    for layer in range(config.num_layers):
        for sublayer, name in ((attend, "attention"), (feed, "feed_forward")):
            path = f"blocks.{layer}.{name}"
            if config.norm_position == "pre":
                x = x + sublayer(path, norm(f"{path}_norm", x))
            else:
                x = norm(f"{path}_norm", x + sublayer(path, x))
    if config.norm_position == "pre":
        x = norm("norm", x)
    return x @ weights["token_embedding.weight" if config.tie_embeddings else "head.weight"].T


@pytest.mark.parametrize("config", OPTIONS)
def test_logits_loss_and_gradients_equal_the_formula(config: GLMConfig) -> None:
    model, batch = build(config), random_batch()
    assert isinstance(model, GLM)
    texts = {name: batch[name] for name in ("inputs", "positions", "block_positions")}
    rows = [
        reference_logits(model, prefix=int(batch["prefix_length"][row]), **{name: x[row] for name, x in texts.items()})
        for row in range(3)
    ]
    found = model(**texts, prefix_length=batch["prefix_length"])
    torch.testing.assert_close(found, torch.stack(rows), rtol=0, atol=1e-5)
    expected = torch.zeros(())
    for row, logits in enumerate(rows):
        for place, target in zip(batch["target_positions"][row], batch["targets"][row], strict=True):
            if target != -100:
                expected = expected - logits[place].log_softmax(dim=-1)[target]
    total, count = model.loss(**batch)
    assert count == 2 + 3 + 4
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-5)
    ours = torch.autograd.grad(total, list(model.parameters()))
    theirs = torch.autograd.grad(expected, list(model.parameters()))
    for (name, _), left, right in zip(model.named_parameters(), ours, theirs, strict=True):
        assert right.any(), f"{name} takes no part"
        torch.testing.assert_close(left, right, rtol=0, atol=2e-5, msg=name)


def test_the_papers_example_sees_what_it_should() -> None:
    """Changing a token changes the logits of those that see it, and of no others."""
    model = build(CONFIG)
    before = model(**EXAMPLE)
    for place in range(TIME):
        changed = EXAMPLE["inputs"].clone()
        changed[0, place] = 7
        moved = (model(**EXAMPLE | {"inputs": changed}) - before).abs().amax(dim=-1)[0]  # (time,)
        expected = torch.tensor([line[place] == "x" for line in SEEN.splitlines()])
        assert torch.equal(moved > 1e-4, expected)
        assert not moved[~expected].any()


@pytest.mark.parametrize("table", ["positions", "block_positions"])
def test_both_positions_matter(table: str) -> None:
    model = build(CONFIG)
    changed = EXAMPLE[table].clone()
    changed[0, -1] += 1
    before, after = (model(**EXAMPLE | other) for other in ({}, {table: changed}))
    assert torch.equal(before[:, :-1], after[:, :-1]) and not torch.allclose(before[:, -1], after[:, -1], atol=1e-4)


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, context_length=12)])
def test_tables_hold_every_row_of_context_length(config: GLMConfig) -> None:
    model, time = build(config), config.context_length
    ids = torch.zeros(1, time, dtype=torch.long)
    places = torch.arange(1, time + 1)[None]
    model(ids, positions=places)  # part A alone
    model(ids, positions=places * 0 + 1, block_positions=places - 1)  # one blank and its span


def test_plain_ids_are_causal_and_counted_from_one() -> None:
    model = build(CONFIG)
    ids = torch.randint(VOCAB, (2, TIME))
    expected = model(ids, positions=torch.arange(1, TIME + 1)[None], prefix_length=torch.tensor([0, 1]))
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [[1] * 5, [2, 1, 2], [5]])
def test_filling_with_a_cache_equals_filling_without(steps: list[int]) -> None:
    model = build(CONFIG)
    whole, cache = model(**EXAMPLE), model.new_cache()
    texts = {name: x.split([5, *steps], dim=1) for name, x in EXAMPLE.items() if name != "prefix_length"}
    parts = [
        model(**{name: x[index] for name, x in texts.items()}, prefix_length=EXAMPLE["prefix_length"], cache=cache)
        for index in range(len(steps) + 1)
    ]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)


def test_a_row_alone_equals_the_row_in_a_batch_whatever_follows_it() -> None:
    model, batch = build(CONFIG), random_batch()
    del batch["targets"]
    logits = model.logits(model.target_hidden(**batch))
    for row in range(3):
        alone = {name: x[row : row + 1] for name, x in batch.items()}
        last = int(batch["target_positions"][row].max()) + 1  # what follows is padding
        cut = {name: alone[name][:, :last] for name in ("inputs", "positions", "block_positions")}
        found = model.logits(model.target_hidden(**alone | cut))
        torch.testing.assert_close(found[0], logits[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("how", ["compiled", "recomputed"])
def test_the_same_gradients_compiled_or_recomputed(dropout: float, how: str) -> None:
    model, batch = build(replace(CONFIG, dropout=dropout)), random_batch()
    results = []
    for changed in (False, True):
        loss = model.loss
        if changed and how == "compiled":
            torch.compiler.reset()  # all networks share one `loss`, which is compiled a few times at most
            loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
        elif changed:
            assert recompute_blocks(model) == 2
        torch.manual_seed(1)
        model.zero_grad()
        total, _ = loss(**batch)
        total.backward()
        results.append([total.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)


def test_flops_are_counted() -> None:
    config = GLMConfig(num_layers=1, num_heads=2, d_model=32, context_length=44, vocab_size=1000)
    for rate, span, targets in ((0.15, 3.0, 8), (0.5, 1.0, 22)):  # half the text, token by token: as much as is left
        small, large = (
            training_cost(replace(config, vocab_size=size), objective=ObjectiveConfig(mask_rate=rate, mean_span=span))
            for size in (1000, 2000)
        )
        per_token = 3 * 2 * 32 * 1000 * targets / 44  # of 44 places
        assert large.flops_per_token - small.flops_per_token == pytest.approx(per_token, abs=1)


PREFIX_GPT = GPTConfig(num_layers=2, num_heads=4, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)


@pytest.mark.parametrize("positions", ["learned", "rope"])
def test_a_gpt_as_prefix_lm_sees_the_prefix_and_nothing_later(positions: str) -> None:
    model, prefix = build(replace(PREFIX_GPT, positions=positions)), torch.tensor([4, 7])
    ids = torch.randint(VOCAB, (2, TIME))
    before = model(ids, prefix_length=prefix)
    for place in range(TIME):
        changed = ids.clone()
        changed[:, place] = (changed[:, place] + 1) % VOCAB
        moved = (model(changed, prefix_length=prefix) - before).abs().amax(dim=-1)  # (rows, time)
        expected = (place < prefix)[:, None] | (torch.arange(TIME) >= place)
        assert torch.equal(moved > 1e-4, expected)
    torch.testing.assert_close(model(ids, prefix_length=torch.tensor([0, 1])), model(ids), rtol=0, atol=1e-6)


def test_a_prefix_lm_generates_the_same_with_a_cache() -> None:
    model, prefix, cache = build(PREFIX_GPT), torch.tensor([4, 4]), build(PREFIX_GPT).new_cache()
    ids = torch.randint(VOCAB, (2, TIME))
    parts = [model(part, cache=cache, prefix_length=prefix) for part in ids.split([4, 1, 2, 3], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids, prefix_length=prefix), rtol=0, atol=1e-5)


def test_a_prefix_lm_learns_from_targets_after_the_prefix() -> None:
    model, prefix = build(PREFIX_GPT), torch.tensor([4, 7])
    ids = torch.randint(VOCAB, (2, TIME + 1))
    targets = ids[:, 1:].masked_fill(torch.arange(TIME) < prefix[:, None] - 1, -100)
    total, count = model.loss(ids[:, :-1], targets, prefix_length=prefix)
    logits = model(ids[:, :-1], prefix_length=prefix)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(total, expected)
    assert count == (TIME - 3) + (TIME - 6)
