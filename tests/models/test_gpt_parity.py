"""GPT against transformers' GPT2LMHeadModel with the same random weights: logits, loss and gradients."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from lit_transformer.config.schema import GPTConfig
from lit_transformer.models.gpt import GPT

SHAPES = [
    pytest.param({"num_layers": 1, "num_heads": 1, "d_model": 8, "context_length": 5, "vocab_size": 11}, id="smallest"),
    pytest.param({"num_layers": 2, "num_heads": 4, "d_model": 32, "context_length": 17, "vocab_size": 65}, id="small"),
    pytest.param({"num_layers": 4, "num_heads": 2, "d_model": 64, "context_length": 96, "vocab_size": 301}, id="deep"),
    pytest.param(
        {"num_layers": 2, "num_heads": 3, "d_model": 24, "d_ff": 56, "context_length": 9, "vocab_size": 7}, id="d_ff"
    ),
]


def make_pair(shape: dict[str, int], tied: bool) -> tuple[GPT, GPT2LMHeadModel]:
    """Both networks, with normal weights everywhere, biases and norms included."""
    torch.manual_seed(0)
    peer = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape["vocab_size"],
            n_positions=shape["context_length"],
            n_embd=shape["d_model"],
            n_layer=shape["num_layers"],
            n_head=shape["num_heads"],
            n_inner=shape.get("d_ff"),
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=tied,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.2)
    model = GPT(GPTConfig(**shape, tie_embeddings=tied))
    for ours, theirs, transposed in parameter_pairs(model, peer):
        with torch.no_grad():
            ours.copy_(theirs.T if transposed else theirs)
    return model, peer


def parameter_pairs(model: GPT, peer: GPT2LMHeadModel) -> list[tuple[nn.Parameter, nn.Parameter, bool]]:
    """Our parameters, theirs, and whether theirs are transposed."""
    body = peer.transformer
    modules = [(model.token_embedding, body.wte), (model.position_embedding, body.wpe), (model.norm, body.ln_f)]
    if model.head is not None:
        modules.append((model.head, peer.lm_head))
    for block, theirs in zip(model.blocks, body.h, strict=True):
        modules += [
            (block.attention_norm, theirs.ln_1),
            (block.attention.input, theirs.attn.c_attn),
            (block.attention.output, theirs.attn.c_proj),
            (block.feed_forward_norm, theirs.ln_2),
            (block.feed_forward.input, theirs.mlp.c_fc),
            (block.feed_forward.output, theirs.mlp.c_proj),
        ]
    pairs = []
    for ours, theirs in modules:
        transposed = type(theirs).__name__ == "Conv1D"
        for name, parameter in theirs.named_parameters():
            pairs.append((getattr(ours, name), parameter, transposed and name == "weight"))
    return pairs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [True, False])
def test_logits_loss_and_gradients(shape: dict[str, int], tied: bool) -> None:
    model, peer = make_pair(shape, tied)
    assert model.num_parameters() == peer.num_parameters()
    pairs = parameter_pairs(model, peer)
    assert len(pairs) == len(list(model.parameters())) == len(list(peer.parameters()))
    ids = torch.randint(shape["vocab_size"], (3, shape["context_length"]))
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    targets[0, :2] = -100
    output = peer(input_ids=ids, labels=torch.cat((ids[:, :1], targets[:, :-1]), dim=1))
    torch.testing.assert_close(model(ids), output.logits, rtol=0, atol=1e-5)
    total, count = model.loss(ids, targets)
    torch.testing.assert_close(total / count, output.loss, rtol=0, atol=1e-5)
    (total / count).backward()
    output.loss.backward()
    for ours, theirs, transposed in pairs:
        assert ours.grad is not None and theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad.T if transposed else theirs.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("time", [1, 4, 9])
def test_shorter_inputs(time: int) -> None:
    model, peer = make_pair(
        {"num_layers": 2, "num_heads": 4, "d_model": 32, "context_length": 17, "vocab_size": 65}, True
    )
    ids = torch.randint(65, (2, time))
    torch.testing.assert_close(model(ids), peer(input_ids=ids).logits, rtol=0, atol=1e-5)


def test_greedy_generation_agrees() -> None:
    from lit_transformer.decoding.sampling import generate

    model, peer = make_pair(
        {"num_layers": 2, "num_heads": 4, "d_model": 32, "context_length": 17, "vocab_size": 65}, True
    )
    prompt = torch.randint(1, 65, (3, 4))
    theirs = peer.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    assert torch.equal(generate(model.eval(), prompt, max_new_tokens=12, temperature=0), theirs)
