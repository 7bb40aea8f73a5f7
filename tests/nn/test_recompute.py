"""Recomputed blocks give the same gradients from less memory."""

import pytest
import torch

from lit_transformer.config.schema import GPTConfig
from lit_transformer.models.gpt import GPT
from lit_transformer.nn.recompute import recompute_blocks


class Kept:
    """Counts the bytes that autograd keeps."""

    def __init__(self) -> None:
        self.bytes = 0

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        self.bytes += tensor.untyped_storage().nbytes()
        return tensor


def gradients(recompute: bool, dropout: float) -> tuple[dict[str, torch.Tensor], int]:
    torch.manual_seed(0)
    model = GPT(
        GPTConfig(vocab_size=32, d_model=64, num_heads=4, num_layers=4, context_length=32, dropout=dropout)
    ).train()
    if recompute:
        assert recompute_blocks(model) == 4
    ids = torch.randint(32, (4, 33))
    kept = Kept()
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        loss, _ = model.loss(ids[:, :-1], ids[:, 1:])
    loss.backward()
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }, kept.bytes


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_gradients_from_less_memory(dropout: float) -> None:
    (whole, much), (again, little) = gradients(False, dropout), gradients(True, dropout)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert little < much / 3
