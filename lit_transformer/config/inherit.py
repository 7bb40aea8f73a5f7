"""`model.init_from`: the settings that a run takes over with the weights of another, or of a Hugging Face folder.

They lie between the defaults and what stands beside or above `model.init_from`. Torch-free.
"""

from collections.abc import Mapping

from lit_transformer.config.errors import Problem, UserError
from lit_transformer.config.fields import fields_of
from lit_transformer.config.hugging_face import filled, shown
from lit_transformer.config.init_sources import KEY, TOKENIZER, Source, SourceError, find_source, source_settings
from lit_transformer.config.layers import Layer
from lit_transformer.config.schema import MODEL_CONFIGS
from lit_transformer.config.values import Misfit, fit

OWN = frozenset(f"model.{name}" for name in ("init_from", "num_classes", "frozen_layers", "vocab_size", "dropout"))
"""Settings of `model` that are not taken over: they belong to the run's own data and training."""

FREE = frozenset(
    f"model.{name}"
    for name in ("num_layers", "num_encoder_layers", "num_decoder_layers", "context_length", "init_std", "norm_eps")
)
"""Settings of `model` that are taken over and may be changed: the weights that fit still mean the same."""


def inherited_layer(values: Mapping[str, object], origins: Mapping[str, str]) -> tuple[Layer, list[Problem]]:
    """What `model.init_from` adds to the merged values, and what in them contradicts it.

    Nothing is read where every key is given, as in a frozen config.yaml: the run it came from may be gone by then.
    """
    text = values.get(KEY)
    if not isinstance(text, str) or _is_complete(values):
        return Layer(), []
    origin = origins.get(KEY, "unknown")
    try:
        source = find_source(text)
        theirs = source_settings(source)
    except SourceError as error:
        return Layer(), [Problem(key=KEY, origin=origin, got=error.got, allowed=error.allowed, fix=error.fix)]
    except UserError as error:
        fix = " ".join(line.strip() for line in str(error).splitlines())
        return Layer(), [Problem(key=KEY, origin=origin, got=text, allowed="a source that can be used", fix=fix)]
    problems = _contradictions(values, origins, theirs, source)
    if any(problem.key == "model.kind" for problem in problems):
        return Layer(), problems  # the other settings would be unknown to it
    new = {key: value for key, value in theirs.items() if key not in OWN and key not in values}
    return Layer(new, dict.fromkeys(new, f"init_from {text}")), problems


def without_taken_over(values: Mapping[str, object]) -> dict[str, object]:
    """Values under a layer that sets `model.init_from`: what they say of shape and tokenizer was for fresh weights.

    So an experiment's file serves from scratch and from any run; what stands beside `model.init_from`, or above it,
    must agree with the source.
    """
    taken = ("model.", TOKENIZER)
    return {key: value for key, value in values.items() if key in OWN | {"model.kind"} or not key.startswith(taken)}


def contradictions(kind: str, values: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Dotted key -> the source's value, where `values` have another and its weights would not fit, or mean less."""
    fields = fields_of(kind)
    ours, source = _filled({**theirs, **values}), _filled(theirs)
    found = {}
    for key in values:
        if key not in fields or key not in source or key in OWN | FREE or not key.startswith(("model.", TOKENIZER)):
            continue
        if values[key] is None and theirs[key] is None:  # both follow another setting, which says so itself
            continue
        try:
            differs = fit(ours[key], fields[key].annotation) != fit(source[key], fields[key].annotation)
        except Misfit:  # whoever loads the settings says so
            continue
        if differs:
            found[key] = theirs[key]
    return found


def _contradictions(
    values: Mapping[str, object], origins: Mapping[str, str], theirs: Mapping[str, object], source: Source
) -> list[Problem]:
    def problem(key: str, allowed: str, fix: str) -> Problem:
        return Problem(key=key, origin=origins.get(key, "unknown"), got=shown(values[key]), allowed=allowed, fix=fix)

    kind = str(theirs["model.kind"])
    if values.get("model.kind", kind) != kind:
        return [problem("model.kind", f"{kind}, as {source.text} is", "leave it out, or start from another run")]
    problems = []
    for key, value in contradictions(kind, values, {**theirs, "model.kind": kind}).items():
        if source.is_hugging_face and key.startswith(TOKENIZER):
            continue
        what = "its tokenizer is taken over" if key.startswith(TOKENIZER) else "its weights fit nothing else"
        fix = f"leave it out, or set {key}={shown(value)}"
        problems.append(problem(key, f"{shown(value)}, as in {source.text}: {what}", fix))
    if source.is_hugging_face:
        allowed = f"nothing: {source.text}/tokenizer.json is taken as it is"
        problems += [problem(key, allowed, "leave it out") for key in values if key.startswith(TOKENIZER)]
    return problems


def _filled(values: Mapping[str, object]) -> dict[str, object]:
    """Dotted values with numbers for the nulls of `model` that stand for others."""
    model = {key.removeprefix("model."): value for key, value in values.items() if key.startswith("model.")}
    try:
        full = filled(model)
    except (KeyError, ValueError):  # a width that is no number: whoever loads the settings says so
        full = model
    return {**values, **{f"model.{name}": value for name, value in full.items()}}


def _is_complete(values: Mapping[str, object]) -> bool:
    kind = values.get("model.kind")
    if not isinstance(kind, str) or kind not in MODEL_CONFIGS:
        return False
    taken_over = {key for key in fields_of(kind) if key.startswith(("model.", TOKENIZER))} - OWN
    return taken_over <= values.keys()
