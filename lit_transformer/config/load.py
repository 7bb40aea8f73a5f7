"""Loading: defaults < experiment < cell < key=value, with every problem found at once."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from lit_transformer.config.budget import placeholders, with_budgets
from lit_transformer.config.errors import ConfigError, Problem
from lit_transformer.config.fields import Field, fields_of, sections
from lit_transformer.config.inherit import inherited_layer, without_taken_over
from lit_transformer.config.layers import Layer, file_layer, find_experiment, mapping_layer
from lit_transformer.config.models import PRESETS
from lit_transformer.config.registry import default_objective
from lit_transformer.config.rules import broken_rules
from lit_transformer.config.schema import MODEL_CONFIGS, ExperimentConfig
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.values import Misfit, fit

if TYPE_CHECKING:
    from omegaconf import DictConfig

DEFAULT = "default"
UNKNOWN_ORIGIN = "unknown"
_DEFAULTS = ExperimentConfig()


@dataclass(frozen=True)
class Loaded:
    """A valid configuration and where each value came from."""

    config: ExperimentConfig
    origins: dict[str, str]


def load_experiment(experiment: str, layers: Sequence[Layer] = ()) -> Loaded:
    """Load an experiment by name or path under further layers; raises UserError, or ConfigError with all problems."""
    path = find_experiment(experiment)
    name = Layer({"experiment": path.stem}, {"experiment": DEFAULT})
    return load_layers([name, file_layer(path), *layers])


def load_layers(layers: Sequence[Layer]) -> Loaded:
    """Merge layers over the defaults, the later the stronger; raises ConfigError with all problems.

    What `model.init_from` takes over lies right above the defaults, and replaces what lower layers say of it. What a
    budget is to solve has a placeholder until data are prepared.
    """
    layers, opened, contradicting = with_budgets(layers)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        if layer.values.get("model.init_from") is not None:
            values = without_taken_over(values)
            origins = {key: origin for key, origin in origins.items() if key in values}
        preset = _preset_layer(layer)
        values.update({**preset.values, **layer.values})
        origins.update({**preset.origins, **layer.origins})
    inherited, contradictions = inherited_layer(values, origins)
    values, origins = {**inherited.values, **values}, {**inherited.origins, **origins}
    kind, problems = _model_kind(values, origins)
    problems += contradictions + contradicting
    held = placeholders(kind, opened, values)
    values, origins = {**values, **held}, {**origins, **{key: opened[key] for key in held}}
    known = fields_of(kind)
    fitted = {}
    for key, value in values.items():
        problem, result = _check(key, value, origins.get(key, UNKNOWN_ORIGIN), known)
        if problem is None:
            fitted[key] = result
        elif key != "model.kind":
            problems.append(problem)
    task = str(fitted.get("task", ExperimentConfig().task))
    if fitted.get("objective.name") is None and (objective := default_objective(task, kind)):
        fitted["objective.name"] = objective
    config = _build(kind, fitted)
    origins = {key: origins.get(key, DEFAULT) for key in known}
    wrong = {problem.key for problem in problems}
    for rule in broken_rules(config):
        if not wrong.intersection(rule.keys):
            problems.append(rule.problem(origins))
    if problems:
        raise ConfigError(problems)
    return Loaded(config, origins)


def from_plain(values: Mapping[str, object], origin: str = "config.yaml") -> ExperimentConfig:
    """A frozen config.yaml as a configuration; raises ConfigError."""
    return load_layers([mapping_layer(values, origin)]).config


def with_values(config: ExperimentConfig, values: Mapping[str, object]) -> ExperimentConfig:
    """`config` with some dotted keys replaced by values of the right type."""
    if not values:
        return config
    merged = {key: get_value(config, key) for key in fields_of(config.model.kind)}
    return _build(config.model.kind, {**merged, **values})


def get_value(config: ExperimentConfig, key: str) -> object:
    """The value at a dotted key."""
    value: object = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _preset_layer(layer: Layer) -> Layer:
    """The settings that a layer's `model.preset` stands for; they replace what lower layers say of them."""
    name = layer.values.get("model.preset")
    values = {f"model.{key}": value for key, value in PRESETS.get(str(name), {}).items()}
    return Layer(values, dict.fromkeys(values, f"preset {name}"))


def _model_kind(values: Mapping[str, object], origins: Mapping[str, str]) -> tuple[str, list[Problem]]:
    """The kind is read first, since it decides which settings `model` has and their defaults."""
    default = ExperimentConfig().model.kind
    kind = values.get("model.kind", default)
    if isinstance(kind, str) and kind in MODEL_CONFIGS:
        return kind, []
    guess = did_you_mean(str(kind), MODEL_CONFIGS)
    fix = f"did you mean {guess}?" if guess else ""
    origin = origins.get("model.kind", UNKNOWN_ORIGIN)
    return default, [
        Problem(key="model.kind", origin=origin, got=_shown(kind), allowed=", ".join(MODEL_CONFIGS), fix=fix)
    ]


def _check(key: str, value: object, origin: str, known: Mapping[str, Field]) -> tuple[Problem | None, object]:
    if key in sections() and not (isinstance(value, dict) and not value):
        inside = [name for name in known if name.startswith(f"{key}.")]
        allowed = f"a section with {', '.join(name[len(key) + 1 :] for name in inside[:8])}"
        problem = Problem(key=key, origin=origin, got=_shown(value), allowed=allowed, fix=f"write {inside[0]}: ...")
        return problem, None
    if key not in known:
        return _unknown(key, value, origin, known), None
    if "${" in str(value):
        fix = "write the value itself; experiments are data and refer to nothing"
        return Problem(key=key, origin=origin, got=_shown(value), allowed="a value without ${", fix=fix), None
    try:
        return None, fit(value, known[key].annotation)
    except Misfit:
        guess = did_you_mean(value, known[key].type_name.split(", ")) if isinstance(value, str) else ""
        fix = f"did you mean {guess}?" if guess else f"{known[key].help}"
        return Problem(key=key, origin=origin, got=_shown(value), allowed=known[key].type_name, fix=fix), None


def _unknown(key: str, value: object, origin: str, known: Mapping[str, Field]) -> Problem:
    guess = did_you_mean(key, known)
    section = key.rpartition(".")[0]
    near = [name for name in known if section and name.rpartition(".")[0] == section]
    near = near or list(
        dict.fromkeys(f"{head}.*" if rest else head for head, _, rest in (k.partition(".") for k in known))
    )
    fix = f"did you mean {guess}?" if guess else "see `lit-transformer config EXPERIMENT` for every key"
    return Problem(key=key, origin=origin, got=f"an unknown key (= {_shown(value)})", allowed=", ".join(near), fix=fix)


def check_key(key: str, value: object, origin: str, model_kind: str = "gpt") -> Problem | None:
    """What is wrong with setting `key` to `value`, None where nothing is: for a sweep's parameters."""
    return _check(key, value, origin, fields_of(model_kind))[0]


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


def _build(kind: str, values: Mapping[str, object]) -> ExperimentConfig:
    """Put dotted values over the schema's defaults, section by section."""
    sections: dict[str, list[tuple[str, type, object]]] = {}
    built: dict[str, Any] = {"model": MODEL_CONFIGS[kind]()}
    for key, value in values.items():
        head, _, rest = key.partition(".")
        if rest:
            sections.setdefault(head, []).append((rest, type(value), value))
        else:
            built[head] = value
    for head, given in sections.items():
        owner: Any = MODEL_CONFIGS[kind] if head == "model" else type(getattr(_DEFAULTS, head))
        built[head] = _section(owner, tuple(given))
    return dataclasses.replace(_DEFAULTS, **built)


@lru_cache(maxsize=4096)
def _section(owner: type, given: tuple[tuple[str, type, object], ...]) -> object:
    """One section of settings by OmegaConf, which checks every type once more; cells of a sweep share most of them.

    Types are part of what is remembered: to Python 1, 1.0 and true are equal.
    """
    from omegaconf import OmegaConf  # 0.15 s, and no other module of config needs it

    layer = OmegaConf.create()
    for key, _, value in given:
        OmegaConf.update(layer, key, value)
    return OmegaConf.to_object(OmegaConf.merge(_tree(owner), layer))


@cache
def _tree(owner: type) -> "DictConfig":
    """A section of the schema as OmegaConf's tree; making it takes longer than everything else of a load."""
    from omegaconf import OmegaConf

    tree = OmegaConf.structured(owner())
    assert OmegaConf.is_dict(tree)
    return tree
