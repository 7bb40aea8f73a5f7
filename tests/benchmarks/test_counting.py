"""FLOPs and bytes of what runs are those that can be worked out."""

import pytest
import torch
from ceiling import Product
from counting import count_flops, peak_bytes
from systems import gpt
from systems.shapes import Shape

from lit_transformer.config.models import GPTConfig
from lit_transformer.models.flops import training_cost
from lit_transformer.models.gpt import GPT

SMALL = Shape("small", 32, 2, 2, 128, 32, 4)


def test_our_step_runs_the_flops_that_are_counted_on_the_meta_device():
    config = GPTConfig(**SMALL.sized(), dropout=0.1)  # with dropout no kernel computes attention again
    model = GPT(config).train()
    ids = torch.randint(SMALL.vocab_size, (SMALL.batch, SMALL.context_length))

    def step() -> None:
        total, count = model.loss(ids, ids)
        (total / count).backward()

    assert count_flops(step)[1] == SMALL.batch * training_cost(config).sequence_flops


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_gpt_2_does_the_same_work(dropout):
    ours, theirs = (
        count_flops(make(SMALL, dropout))[1] for make in (gpt.our_training, gpt.their_training)
    )  # fmt: skip
    assert ours == pytest.approx(theirs, rel=0.03)  # kernels of attention differ in what they compute again


def test_evaluation_costs_a_forward_pass():
    forward = count_flops(gpt.our_evaluation(SMALL))[1]
    assert 3 * forward == training_cost(GPTConfig(**SMALL.sized())).sequence_flops * SMALL.batch


def test_the_ceiling_computes_the_product_that_it_counts():
    product = Product(4800, 3200, 64)
    _, flops = count_flops(product.act())
    assert product.times == 3
    assert flops == product.flops * product.times == 3 * 2 * 4800 * 3200 * 64


def test_the_peak_is_the_most_that_was_held_at_once():
    million = 1 << 20

    def make():
        kept = [torch.empty(million) for _ in range(2)]

        def act() -> int:
            first = torch.empty(3 * million)
            del first
            second = torch.empty(million)
            return len(kept) + len(second)

        return act

    assert peak_bytes(make) == 4 * 5 * million


def test_the_peak_of_a_step_holds_weights_gradients_and_moments_and_is_always_the_same():
    peaks = {peak_bytes(lambda: gpt.our_training(SMALL, 0.0)) for _ in range(2)}
    assert len(peaks) == 1
    assert peaks.pop() > 4 * 4 * gpt.network(SMALL).num_parameters()
