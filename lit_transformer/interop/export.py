"""A trained network as a folder that transformers loads: config.json, model.safetensors, tokenizer, generation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from lit_transformer.config.hugging_face import to_hugging_face, unheld
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.interop.folder import new_folder
from lit_transformer.interop.formats import PARTS, architecture, pairs_of, plain_name
from lit_transformer.interop.mapping import to_theirs
from lit_transformer.interop.tokenizer import write_tokenizer
from lit_transformer.models.base import TextNetwork
from lit_transformer.records.atomic import write_json


def export(
    network: TextNetwork,
    config: ExperimentConfig,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    roles: Mapping[str, int],
    labels: Sequence[str] = (),
) -> str:
    """Write `network`, trained with `config`, into a new folder; the class of transformers that loads it.

    roles: what transformers calls a special token (pad, unk, bos, eos, cls, sep, mask) -> its id. labels: names of a
    classifier's classes by number. Raises UserError with every setting that the class cannot hold, and where the folder
    holds something or cannot be written.
    """
    name = architecture(network)
    described = to_hugging_face(config.model, _unheld_beside(config))
    assert name is not None and isinstance(config.model, TextModelConfig)
    tensors = tensors_of(network)
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    entries: dict[str, object] = {
        "architectures": [name],
        "dtype": dtype,
        "torch_dtype": dtype,
        **described,
        **_tokens(name, roles),
    }
    if name == "BertForSequenceClassification":
        labels = labels or [f"LABEL_{index}" for index in range(len(network.output_weight))]
        entries["id2label"] = {str(index): label for index, label in enumerate(labels)}
        entries["label2id"] = {label: index for index, label in enumerate(labels)}
    with new_folder(folder) as temporary:
        save_file(tensors, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "model.safetensors").chmod(0o644)  # it comes for its owner alone
        length = config.model.context_length
        write_tokenizer(tokenizer, temporary, roles=roles, kind=config.model.kind, length=length)
        generation = _generation(name, config, roles)
        if generation is not None:
            write_json(temporary / "generation_config.json", generation)
        write_json(temporary / "config.json", entries)
    return name


def tensors_of(network: TextNetwork) -> dict[str, Tensor]:
    """The class's tensors by its names, for a network that has an architecture."""
    name = architecture(network)
    ours = {plain_name(key): tensor for key, tensor in network.state_dict().items()}
    pairs = pairs_of(network.config, PARTS.get(str(name), ()))
    left = ours.keys() ^ {pair.ours for pair in pairs}
    assert not left, f"{name} has no place for {left}, or more than we have"
    tensors = to_theirs(pairs, ours)
    if name == "MarianMTModel":
        tensors["final_logits_bias"] = torch.zeros(1, len(network.output_weight), dtype=network.output_weight.dtype)
    return tensors


def _unheld_beside(config: ExperimentConfig) -> list[str]:
    """What a class cannot hold of how the network was trained."""
    kind, objective = config.model.kind, config.objective.name
    if kind == "gpt" and objective == "label":
        return [unheld("objective.name", "label (a head of GPT-1's kind)", "causal_lm, text")]
    if kind == "gpt" and objective == "prefix_lm":
        return [unheld("objective.name", "prefix_lm (a prefix seen in both directions)", "causal_lm, text")]
    if kind == "bert" and config.task == "multiple_choice":
        return [unheld("task", "multiple_choice", "language_model, classification")]
    return []


def _tokens(name: str, roles: Mapping[str, int]) -> dict[str, object]:
    """config.json's special tokens; those that there are not have to be null, for the class has ids of its own."""
    tokens: dict[str, object] = {f"{role}_token_id": roles.get(role) for role in ("pad", "bos", "eos")}
    if name in ("T5ForConditionalGeneration", "MarianMTModel"):
        tokens["decoder_start_token_id"] = roles.get("pad")
    if name == "MarianMTModel":
        tokens["forced_eos_token_id"] = None
    return tokens


def _generation(name: str, config: ExperimentConfig, roles: Mapping[str, int]) -> dict[str, object] | None:
    """generation_config.json, by which `generate` finds what `translate` does; None where nothing is generated."""
    if config.model.kind == "bert":
        return None
    settings = {key: value for key, value in _tokens(name, roles).items() if value is not None}
    if config.model.kind == "gpt":
        return settings
    assert isinstance(config.model, TextModelConfig)
    decoding = config.decoding
    return {
        **settings,
        "bad_words_ids": [[roles["pad"]]],
        "max_new_tokens": decoding.max_length or config.model.context_length,
        "num_beams": decoding.beam_size,
        **({"length_penalty": decoding.length_penalty} if decoding.beam_size > 1 else {}),
    }
