"""A GPT of one layer whose weights are written by hand: one head looks one token back and copies what it finds."""

from pathlib import Path

import torch
from torch import Tensor

from lit_transformer.analysis.subject import Subject, subject_of
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.models.gpt import GPT
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.language_model import LanguageModel

TOKENS, TIME, HEADS, WIDTH = 8, 10, 4, 64
HEAD = WIDTH // HEADS
PLANTED = 2


def network_settings() -> list[str]:
    shape = f"model.d_model={WIDTH} model.num_heads={HEADS} model.num_layers=1 model.context_length={TIME}"
    return [*shape.split(), f"model.vocab_size={TOKENS}", "model.kind=gpt", "model.dropout=0", "data.source=builtin"]


def plant(network: GPT, *, copying: float = 20.0) -> None:
    """Tokens and positions are unit vectors; the planted head finds the position before its own, the others noise."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.blocks.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(std=0.02, generator=generator)
    network.token_embedding.weight.data = torch.eye(TOKENS, WIDTH)
    assert network.position_embedding is not None
    network.position_embedding.weight.data = torch.eye(TIME, WIDTH).roll(TOKENS, dims=1)
    layer = network.blocks[0].attention
    queries, keys, values = layer.input.weight.data.split(WIDTH)  # (width, width) each, views
    rows, places = slice(PLANTED * HEAD, (PLANTED + 1) * HEAD), slice(TOKENS, TOKENS + TIME)
    for matrix in (queries, keys, values):
        matrix[rows] = 0
    queries[rows][:TIME, places] = 4 * torch.eye(TIME)
    keys[rows][:TIME, places] = 4 * torch.eye(TIME).roll(1, dims=0)  # a key answers to the place after it
    values[rows][:TOKENS, :TOKENS] = torch.eye(TOKENS)
    layer.output.weight.data[:, rows] = 0
    layer.output.weight.data[:TOKENS, rows][:, :TOKENS] = copying * torch.eye(TOKENS)


def texts(rows: int = 32, seed: int = 0) -> Tensor:
    """Rows in which each token is the one before the last: (rows, TIME + 1)."""
    pairs = torch.stack(
        [torch.randperm(TOKENS, generator=torch.Generator().manual_seed(seed + row))[:2] for row in range(rows)]
    )
    return pairs.repeat(1, TIME)[:, : TIME + 1]


def planted_subject(folder: Path) -> Subject:
    """The network with a batch whose next tokens nothing but the planted head can see."""
    config = load_layers([shell_layer(network_settings())]).config
    task = LanguageModel(config).eval().requires_grad_(False)
    assert isinstance(task.network, GPT)
    plant(task.network)
    ids = texts()
    targets = ids[:, 1:].clone()
    targets[:, 0] = -100  # nothing stands before the first token
    return subject_of(RunFolder(folder), task, [{"inputs": ids[:, :-1], "targets": targets}], there=1)
