"""The weights that `model.init_from` names: a run's best checkpoint, or the files of a Hugging Face folder."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.init_sources import Source, source_settings
from lit_transformer.config.models import MODEL_CONFIGS, ModelConfig
from lit_transformer.interop.checkpoint import read_checkpoint
from lit_transformer.interop.formats import PREFIXES, pairs_of, plain_name
from lit_transformer.interop.mapping import to_ours
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder

WEIGHT_FILES: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "model.safetensors": load_file,
    "pytorch_model.bin": lambda path: torch.load(path, map_location="cpu", weights_only=True),
}
"""Names that a folder's weights may have, the preferred one first; parts of them are listed in NAME.index.json."""

OUTPUT_LAYERS = ("lm_head.weight", "cls.predictions.decoder.weight")
EMBEDDINGS = ("wte.weight", "word_embeddings.weight", "shared.weight", "decoder.embed_tokens.weight")
"""Ends of names of what the output layer shares with tied embeddings."""

REPEATED = (
    *OUTPUT_LAYERS, "cls.predictions.decoder.bias", "final_logits_bias", "embed_tokens.weight", "position_ids",
    "embed_positions.weight", "attn.bias", "attn.masked_bias",
)  # fmt: skip
"""Ends of names in files that hold nothing of their own: copies, constants, masks."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a source has."""

    place: str
    """Where they lie, for a person."""
    settings: Mapping[str, object]
    """Dotted key -> value of its network."""
    tensors: Mapping[str, Tensor]
    """By `plain_name`."""
    unused: tuple[str, ...] = ()
    """Tensors of theirs for which there is no place in any network here."""
    remarks: tuple[str, ...] = ()
    """What was wrong on the way, such as a damaged checkpoint that was passed over."""


def read_weights(source: Source) -> Weights:
    """The weights of a source, and what its network is; raises UserError for what is missing or damaged."""
    return _of_folder(source) if source.is_hugging_face else _of_run(source)


def _of_run(source: Source) -> Weights:
    run, remarks = RunFolder(source.folder), list[str]()
    folder = CheckpointFolder(run.checkpoints)
    found = folder.best(remarks.append)
    if found is None:
        raise UserError(
            f"model.init_from: {source.text} has no good checkpoint (its status is {run.status()})\n"
            + "".join(f"  got      {remark}\n" for remark in remarks)
            + f"  fix      train it first: lit-transformer fit --resume {run.path}"
        )
    state = read_checkpoint(found.path, folder)["state_dict"]
    return Weights(
        place=f"{source.text} ({found.path.name} of step {found.entry.step})",
        settings=source_settings(source),
        tensors={plain_name(name): tensor for name, tensor in state.items() if name.startswith("network.")},
        remarks=tuple(remarks),
    )


def _of_folder(source: Source) -> Weights:
    settings = source_settings(source)
    config = _model_config(settings)
    place, theirs = _read_files(source)
    theirs = {_present_name(name): tensor for name, tensor in theirs.items()}
    tensors, unused = to_ours(pairs_of(config), theirs, prefix=PREFIXES[config.kind])
    _check_copies(config, theirs, place)
    bias = theirs.get("final_logits_bias")
    if bias is not None and bias.count_nonzero():
        raise UserError(f"{place}: final_logits_bias\n  got      numbers other than 0\n  allowed  0: no bias here")
    left = tuple(name for name in unused if not name.endswith(REPEATED))
    return Weights(place=place, settings=settings, tensors=tensors, unused=left)


def _model_config(settings: Mapping[str, object]) -> ModelConfig:
    model: dict[str, Any] = {key.removeprefix("model."): settings[key] for key in settings if key.startswith("model.")}
    kind = MODEL_CONFIGS[model["kind"]]
    return kind(**{field.name: model[field.name] for field in dataclasses.fields(kind) if field.name in model})


def _read_files(source: Source) -> tuple[str, dict[str, Tensor]]:
    """Where the weights lie, and all of them by their names."""
    for name, read in WEIGHT_FILES.items():
        path, index = source.folder / name, source.folder / f"{name}.index.json"
        try:
            if index.is_file():
                path = index
                parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
                tensors: dict[str, Tensor] = {}
                for part in sorted(set(parts)):
                    path = source.folder / Path(part).name
                    tensors |= read(path)
                return f"{source.text} ({name}, in parts)", tensors
            if path.is_file():
                return f"{source.text} ({name})", read(path)
        except Exception as error:  # the libraries raise OSError, SafetensorError, EOFError, UnpicklingError ...
            what = f"{path} cannot be read ({type(error).__name__}: {error})"
            raise UserError(f"model.init_from: {what}\n  fix      fetch it again") from None
    raise UserError(
        f"model.init_from: {source.text} holds no weights\n  allowed  {' or '.join(WEIGHT_FILES)} beside config.json\n"
        "  fix      give the folder that holds them"
    )


def _present_name(name: str) -> str:
    """A name as it is today: files of 2018 call a norm's weight and bias gamma and beta."""
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _check_copies(config: ModelConfig, theirs: Mapping[str, Tensor], place: str) -> None:
    """Raise UserError for weights of their own where the settings say that they are the token embedding."""
    names = list(OUTPUT_LAYERS) if getattr(config, "tie_embeddings", False) else []
    if getattr(config, "share_embeddings", config.kind == "t5"):
        names += ["encoder.embed_tokens.weight", "model.encoder.embed_tokens.weight"]
    embeddings = [tensor for name, tensor in theirs.items() if name.endswith(EMBEDDINGS)]
    for name in names:
        if name in theirs and embeddings and not any(torch.equal(theirs[name], copy) for copy in embeddings):
            raise UserError(
                f"{place}: {name}\n  got      weights of its own\n"
                "  allowed  a copy of the token embedding, for so its config.json says"
            )
