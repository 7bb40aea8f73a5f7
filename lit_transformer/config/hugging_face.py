"""Hugging Face's config.json and our `model` settings, in both directions. Torch-free."""

import dataclasses
from collections.abc import Mapping, Sequence

from lit_transformer.config.errors import UserError
from lit_transformer.config.hugging_face_formats import FORMATS, Format, Option
from lit_transformer.config.models import ModelConfig


def format_of(kind: str) -> Format | None:
    """The format that holds networks of this `model.kind`; None where there is none (glm)."""
    return next((known for known in FORMATS if known.kind == kind), None)


def to_hugging_face(model: ModelConfig, others: Sequence[str] = ()) -> dict[str, object]:
    """config.json's entries for a network, without tokens and tasks.

    Raises UserError with every setting that the format cannot hold, by its dotted key; `others` are what `unheld` says
    of settings beside `model`.
    """
    form = format_of(model.kind)
    if form is None:
        raise UserError(
            f"model.kind\n  got      {model.kind}\n  allowed  {', '.join(known.kind for known in FORMATS)}\n"
            "  fix      no class of transformers computes this network; use the run's folder, or load_task(RUN)"
        )
    settings = filled(dataclasses.asdict(model))
    problems = [
        unheld(f"model.{name}", settings[name], shown(allowed))
        for name, allowed in form.ours.items()
        if settings[name] != allowed
    ]
    if settings.get("num_kv_heads", settings["num_heads"]) != settings["num_heads"]:
        problems.append(unheld("model.num_kv_heads", settings["num_kv_heads"], f"null or {settings['num_heads']}"))
    if settings["activation"] not in form.activations:
        problems.append(unheld("model.activation", settings["activation"], ", ".join(form.activations)))
    problems += others
    if problems:
        fix = "  fix      train a run with these settings to export it"
        raise UserError("\n".join([f"{form.classes} cannot hold this network:", *problems, fix]))
    written = {key: settings[option.ours] for option in form.options for key in option.theirs}
    activation = {form.activation.theirs[0]: form.activations[str(settings["activation"])][0]}
    return {"model_type": form.model_type, **form.theirs, **written, **activation}


def from_hugging_face(config: Mapping[str, object], place: str) -> tuple[str, dict[str, object]]:
    """`model.kind` and the settings (without `model.`) that a config.json stands for; `place` names it in errors.

    Raises UserError for a format that is not known, and for all options at once that no network here computes.
    """
    form = next((known for known in FORMATS if known.model_type == config.get("model_type")), None)
    if form is None:
        raise UserError(
            f"{place}: model_type\n  got      {config.get('model_type')}\n"
            f"  allowed  {', '.join(known.model_type for known in FORMATS)}"
        )
    problems = [
        unheld(f"{place}: {key}", config[key], shown(allowed))
        for key, allowed in form.theirs.items()
        if config.get(key, allowed) != allowed
    ]
    settings: dict[str, object] = {}
    for option in form.options:
        value = _read(config, option)
        if settings.setdefault(option.ours, value) != value and value is not None:
            problems.append(unheld(f"{place}: {option.theirs[0]}", value, shown(settings[option.ours])))
    named = _read(config, form.activation)
    activation = next((ours for ours, theirs in form.activations.items() if named in theirs), None)
    if activation is None:
        known = ", ".join(name for theirs in form.activations.values() for name in theirs)
        problems.append(unheld(f"{place}: {form.activation.theirs[0]}", named, known))
    if problems:
        raise UserError("\n".join([f"no network here computes what {place} describes:", *problems]))
    settings |= {"activation": activation, **form.ours}
    if settings.get("num_decoder_layers") == settings["num_layers"]:
        settings["num_decoder_layers"] = None  # so that num_layers goes on to mean both sides
    return form.kind, {name: value for name, value in settings.items() if (name, value) != ("context_length", None)}


def unheld(key: str, got: object, allowed: str) -> str:
    """A setting that one side has and the other cannot express, as a person reads it."""
    return f"{key}\n  got      {shown(got)}\n  allowed  {allowed}"


def filled(settings: Mapping[str, object]) -> dict[str, object]:
    """A Transformer's settings (without `model.`) with numbers for the nulls that stand for others.

    `num_layers` is then that of the encoder.
    """
    full = dict(settings)
    derived = {
        "d_ff": lambda: 4 * int(str(full["d_model"])),
        "num_kv_heads": lambda: full["num_heads"],
        "head_dim": lambda: int(str(full["d_model"])) // int(str(full["num_heads"])),
        "num_decoder_layers": lambda: full["num_layers"],
        "num_encoder_layers": lambda: full["num_layers"],
    }
    for name, value in derived.items():
        if name in full and full[name] is None:
            full[name] = value()
    if "num_encoder_layers" in full:
        full["num_layers"] = full["num_encoder_layers"]
    return full


def _read(config: Mapping[str, object], option: Option) -> object:
    return next((config[key] for key in option.theirs if key in config), option.default)


def shown(value: object) -> str:
    """A value as it is typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
