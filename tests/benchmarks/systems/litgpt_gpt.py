"""GPT with rotary positions and an output layer of its own beside litgpt's GPT of the same size.

litgpt has no dropout in its network. It is no part of requirements.lock, because it asks for an older huggingface-hub
than transformers does, though it runs with this one: `uv pip install --no-deps -r tests/benchmarks/litgpt.txt`.
"""

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial

import torch
from alternating import Act, training_step
from case import Case
from systems import gpt
from systems.common import evaluation, mean_loss, their_evaluation
from systems.shapes import Shape
from torch import Tensor, nn

from lit_transformer.config.schema import GPTConfig
from lit_transformer.decoding.sampling import generate
from lit_transformer.models.gpt import GPT

PEER = "litgpt's GPT"


def installed() -> bool:
    """Whether there is a litgpt here."""
    return importlib.util.find_spec("litgpt") is not None


def network(shape: Shape) -> GPT:
    """Ours."""
    return GPT(GPTConfig(**shape.sized(), positions="rope", tie_embeddings=False))


def peer(shape: Shape) -> nn.Module:
    """Theirs, of the same parts."""
    from litgpt import GPT as Peer
    from litgpt import Config

    config = Config(
        block_size=shape.context_length,
        vocab_size=shape.vocab_size,
        padded_vocab_size=shape.vocab_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        n_embd=shape.d_model,
        intermediate_size=shape.d_ff,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=True,
        norm_class_name="LayerNorm",
        mlp_class_name="GptNeoxMLP",
        gelu_approximate="tanh",
    )
    made = Peer(config)
    made.apply(made._init_weights)
    for name, parameter in made.named_parameters():
        if name.endswith("weight") and parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
    return made


def their_answer(model: nn.Module, batch: dict[str, Tensor]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Loss, in chunks as its own training takes it, and logits."""
    from litgpt.utils import chunked_cross_entropy

    def answer() -> tuple[Tensor, Tensor]:
        logits = model(batch["inputs"])
        return chunked_cross_entropy(logits, batch["targets"], chunk_size=0), logits

    return answer


def our_training(shape: Shape) -> Act:
    """A training step."""
    model = network(shape).train()
    return training_step(model, mean_loss(model, gpt.batch_of(shape)))


def their_training(shape: Shape) -> Act:
    """A training step of theirs."""
    model = peer(shape).train()
    answer = their_answer(model, gpt.batch_of(shape))
    return training_step(model, lambda: answer()[0])


def our_evaluation(shape: Shape) -> Act:
    """Loss and accuracy of one batch."""
    return evaluation(network(shape), gpt.batch_of(shape))


def peer_evaluation(shape: Shape) -> Act:
    """The same of theirs."""
    model, batch = peer(shape), gpt.batch_of(shape)
    return their_evaluation(model, their_answer(model, batch), batch["targets"])


def our_generation(shape: Shape) -> Act:
    """One text, which is all that litgpt's loop takes."""
    model, (prompt, new) = network(shape).eval(), gpt.lengths(shape)
    ids = torch.randint(shape.vocab_size, (1, prompt))
    return lambda: generate(model, ids, max_new_tokens=new, temperature=0.0)


def their_generation(shape: Shape) -> Act:
    """One text, cached, the likeliest token each time."""
    from litgpt.generate.base import generate as their_generate

    model, (prompt, new) = peer(shape).eval(), gpt.lengths(shape)
    ids = torch.randint(shape.vocab_size, (prompt,))
    with torch.inference_mode():
        model.set_kv_cache(batch_size=1)

    @torch.inference_mode()
    def act() -> Tensor:
        made = their_generate(model, ids, prompt + new, temperature=0.0, top_p=0.0)
        assert len(made) == prompt + new
        return made

    return act


def cases() -> Iterator[Case]:
    """Everything beside litgpt."""
    for shape in gpt.SHAPES:
        works = {
            "training": (our_training, their_training, shape.tokens, 0.2),
            "evaluation": (our_evaluation, peer_evaluation, shape.tokens, 0.2),
            "generation": (our_generation, their_generation, gpt.lengths(shape)[1], None),
        }
        for work, (ours, theirs, units, apart) in works.items():
            yield Case(
                system="GPT", peer=PEER, work=work, shape=shape.name, dropout=0.0 if work == "training" else None,
                units=units, product=shape.product, apart=apart, ours=partial(ours, shape),
                theirs=partial(theirs, shape),
            )  # fmt: skip
