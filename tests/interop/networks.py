"""Small networks with random weights everywhere, tokenizers, and runs of them that were never trained."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GPTConfig, ModelConfig, T5Config
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig, TokenizerConfig
from lit_transformer.config.show import to_plain
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.tokenizers import specials_of, train_tokenizer
from lit_transformer.inference.export import roles_of
from lit_transformer.interop import export
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.for_task import build_network
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

TEXT = "The animal didn't cross the street, because it was too tired. Größe und Straße: 12 or 13?\n"
SHAPE: dict[str, Any] = {"num_layers": 2, "num_heads": 2, "d_model": 16, "context_length": 24}
OBJECTIVES = {
    "gpt": ("language_model", "causal_lm"),
    "bert": ("language_model", "masked_lm"),
    "glm": ("language_model", "blank_infilling"),
    "t5": ("text_to_text", "translation"),
    "encoder_decoder": ("translation", "translation"),
}
"""`model.kind` -> task and objective."""


def make_tokenizer(model_kind: str, kind: str = "words", text: str = TEXT) -> Tokenizer:
    task, objective = OBJECTIVES[model_kind]
    specials = needed_specials(task, model_kind, objective, several_documents=True)
    size = {"bpe": 400, "wordpiece": 300}.get(kind)
    made_up = " ".join(first + second for first in text.split() for second in text.split()) if size else ""
    settings: dict[str, Any] = {"kind": kind, "vocab_size": size, "min_frequency": 1}
    return train_tokenizer(TokenizerConfig(**settings), [text + made_up], specials=specials)


def make_config(model: ModelConfig, vocab_size: int | None = None, **others: Any) -> ExperimentConfig:
    """The experiment of a network, by default of its kind's usual task; `next_sentence` and the like are taken too."""
    task, objective = OBJECTIVES[model.kind]
    task = others.pop("task", task)
    size = make_tokenizer(model.kind).get_vocab_size() if vocab_size is None else vocab_size
    return ExperimentConfig(
        task=task,
        model=dataclasses.replace(model, vocab_size=size),  # type: ignore[call-arg]
        objective=ObjectiveConfig(**{"name": objective, **others}),
    )


def make_network(config: ExperimentConfig, seed: int = 0) -> TextNetwork:
    """The network of an experiment with normal weights everywhere, biases and norms included."""
    torch.manual_seed(seed)
    network = build_network(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def export_to(folder: Path, network: TextNetwork, config: ExperimentConfig, **more: Any) -> str:
    tokenizer = more.pop("tokenizer", None) or make_tokenizer(config.model.kind)
    return export(network, config, tokenizer, folder, roles=roles_of(specials_of(tokenizer), config.model.kind), **more)


def load_peer(folder: Path, name: str) -> Any:
    """The folder as transformers loads it; fails where it misses, ignores or makes up a tensor."""
    peer, info = getattr(transformers, name).from_pretrained(folder, dtype="auto", output_loading_info=True)
    assert not any(info.values()), info
    return peer.eval()


@torch.no_grad()
def both_logits(network: TextNetwork, peer: Any, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits of the two networks for the same random texts, some of which are padded."""
    kind = network.config.kind
    generator = torch.Generator().manual_seed(seed)
    shape = (3, network.config.context_length)
    ids = torch.randint(network.config.vocab_size, shape, generator=generator)
    if kind == "gpt":
        return network(ids), peer(input_ids=ids).logits
    lengths = torch.tensor([[shape[1]], [shape[1] // 2], [1]])
    mask = torch.arange(shape[1]) < lengths  # (rows, time)
    if kind == "bert":
        types = torch.randint(network.config.token_types, shape, generator=generator)
        ours = network(ids, input_mask=mask, token_types=types)
        theirs = peer(input_ids=ids, attention_mask=mask.long(), token_type_ids=types)
        theirs = theirs.logits if "logits" in theirs else theirs.prediction_logits
        return (ours, theirs) if ours.ndim == 2 else (ours[mask], theirs[mask])
    target = torch.randint(network.config.vocab_size, (3, 9), generator=generator)
    theirs = peer(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target).logits
    return network(ids, target, input_mask=mask), theirs


def assert_same_logits(network: TextNetwork, peer: Any) -> None:
    ours, theirs = both_logits(network, peer)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


def file_tensors(folder: Path) -> dict[str, Tensor]:
    """The file's tensors, in memory of their own: those that are read stay mapped to the file."""
    return {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}


def make_run(folder: Path, network: TextNetwork, config: ExperimentConfig, tokenizer: Tokenizer | None = None) -> Path:
    """A run's folder with these weights as its best and its last checkpoint."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.config_file.write_text(yaml.safe_dump(to_plain(config)))
    (tokenizer or make_tokenizer(config.model.kind)).save(str(run.tokenizer_file))
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    checkpoints = CheckpointFolder(run.checkpoints)
    for step, name in ((10, "last.ckpt"), (7, "best.ckpt")):
        saved: Callable[[Any], object] = lambda file, step=step: torch.save(  # noqa: E731
            {"state_dict": state, "global_step": step}, file
        )
        checkpoints.save(name, saved, step=step, resumable=name == "last.ckpt", facts={})
    return folder


GPTS = {
    "tied": GPTConfig(**SHAPE),
    "untied": GPTConfig(**SHAPE, tie_embeddings=False),
    "relu": GPTConfig(**SHAPE, activation="relu", d_ff=40, norm_eps=1e-3),
    "gelu": GPTConfig(**SHAPE, activation="gelu", num_kv_heads=2),
}
BERTS = {
    "tied": BertConfig(**SHAPE),
    "untied": BertConfig(**SHAPE, tie_embeddings=False, token_types=3, d_ff=40),
    "tanh form": BertConfig(**SHAPE, activation="gelu_tanh", norm_eps=1e-5),
}
T5S = {
    "1.0": T5Config(**SHAPE),
    "1.1": T5Config(**SHAPE, tie_embeddings=False, activation="geglu_tanh"),
    "sides": T5Config(**SHAPE, num_encoder_layers=1, num_decoder_layers=3, head_dim=5, d_ff=20),
    "buckets": T5Config(**SHAPE, relative_buckets=8, relative_max_distance=12, activation="swiglu"),
    "exact": T5Config(**SHAPE, activation="geglu"),
    "plain": T5Config(**SHAPE, activation="gelu_tanh", tie_embeddings=False),
}
MARIANS = {
    "usual": EncoderDecoderConfig(**SHAPE),
    "untied": EncoderDecoderConfig(**SHAPE, tie_embeddings=False),
    "unshared": EncoderDecoderConfig(**SHAPE, share_embeddings=False),
    "apart": EncoderDecoderConfig(**SHAPE, share_embeddings=False, tie_embeddings=False, scale_embeddings=False),
    "sides": EncoderDecoderConfig(**SHAPE, num_encoder_layers=3, num_decoder_layers=1, activation="gelu", d_ff=40),
}
EVERY: dict[str, tuple[ModelConfig, str]] = {
    **{f"gpt {name}": (config, "GPT2LMHeadModel") for name, config in GPTS.items()},
    **{f"bert {name}": (config, "BertForMaskedLM") for name, config in BERTS.items()},
    **{f"t5 {name}": (config, "T5ForConditionalGeneration") for name, config in T5S.items()},
    **{f"marian {name}": (config, "MarianMTModel") for name, config in MARIANS.items()},
}
"""Case -> a network's settings, and the class of transformers that holds it."""
