"""How a sweep searches and stops its trials, frozen in its folder as search.json; none where a grid runs to its end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import Layer
from lit_transformer.records.atomic import write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import Search, search_from_json
from lit_transformer.sweep.judge import StopRule

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What a sweep that grows needs to make its next cells, wherever its files are by then."""

    search: Search
    source: Mapping[str, object]
    """The sweep file, plain: the distributions are read from it again."""
    experiments: Mapping[str, Sequence[Layer]]
    """Each experiment's settings as they were."""
    constant: Mapping[str, object]
    shell: Layer
    """`experiment` among them where the shell names it."""
    origins: Mapping[str, str]
    replicates: Mapping[str, Sequence[object]]
    """`seed` and its values, each of which trains every point once; empty where seeds are left alone."""
    settings: Mapping[str, object]
    """Dotted; what is decided for the machine."""
    cap: int
    """Points at most."""

    def to_json(self) -> dict[str, object]:
        """As it is frozen."""
        plain = asdict(self)
        plain["shell"] = _plain(self.shell)
        plain["experiments"] = {name: [_plain(layer) for layer in layers] for name, layers in self.experiments.items()}
        return plain


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """search.json."""

    stop: StopRule | None = None
    growth: Growth | None = None
    target: float | None = None
    """The value of the metric that ends the taking of new cells."""

    def to_json(self) -> dict[str, object]:
        """As it is frozen."""
        stop = self.stop.to_json() if self.stop else None
        growth = self.growth.to_json() if self.growth else None
        return {"version": VERSION, "stop": stop, "growth": growth, "target": self.target}


def freeze_search(folder: SweepFolder, frozen: Frozen) -> None:
    """Write search.json where there is something to say, and remove it where there is not; raises OSError."""
    if frozen != Frozen():
        write_json(folder.search_file, frozen.to_json())
    else:
        folder.search_file.unlink(missing_ok=True)


def search_differences(folder: SweepFolder, fresh: Frozen) -> list[str]:
    """What the frozen search and `fresh` disagree about, one line each; a larger `run_cap` is no disagreement."""
    old, new = _compared(_read(folder)), _compared(json.loads(json.dumps(fresh.to_json())))
    return [
        f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not (key == "run_cap" and (old.get(key) or 0) < (new.get(key) or 0))
    ]


def read_search(folder: SweepFolder) -> Frozen:
    """The frozen search; raises UserError where the file is damaged or of another version."""
    content = _read(folder)
    stop, growth, target = content.get("stop"), content.get("growth"), content.get("target")
    return Frozen(
        target=float(target) if isinstance(target, int | float) else None,
        stop=StopRule.from_json(stop) if isinstance(stop, dict) else None,
        growth=_growth(growth) if isinstance(growth, dict) else None,
    )


def _compared(content: Mapping[str, object]) -> dict[str, Any]:
    """What makes two searches one: lines in files, threads and descriptions do not."""
    stop, growth = content.get("stop"), content.get("growth")
    found = {f"early_terminate.{key}": value for key, value in stop.items()} if isinstance(stop, dict) else {}
    if isinstance(growth, dict):
        search = {f"bayes.{key}": value for key, value in growth["search"].items()}
        layers = {name: [layer["values"] for layer in both] for name, both in growth["experiments"].items()}
        found |= {**search, "parameters": growth["source"].get("parameters"), "experiments": layers,
                  "overrides": growth["shell"]["values"], "seeds": growth["replicates"],
                  "run_cap": growth["cap"]}  # fmt: skip
    if content.get("target") is not None:
        found["metric.target"] = content["target"]
    return found


def _read(folder: SweepFolder) -> dict[str, object]:
    try:
        content = json.loads(folder.search_file.read_text(encoding="utf-8"))
        version = content["version"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder.search_file} cannot be read ({error}); start the sweep anew under --name.") from None
    if version != VERSION:
        raise UserError(
            f"{folder.search_file} has version {version}; this is version {VERSION}. Start the sweep anew under --name."
        )
    return dict(content)


def _growth(value: Mapping[str, object]) -> Growth:
    experiments, search, shell = value["experiments"], value["search"], value["shell"]
    assert isinstance(experiments, dict) and isinstance(search, dict) and isinstance(shell, dict)
    layers = {name: [Layer(item["values"], item["origins"]) for item in found] for name, found in experiments.items()}
    read = {
        "search": search_from_json(search),
        "experiments": layers,
        "shell": Layer(shell["values"], shell["origins"]),
    }
    return Growth(**{**value, **read})  # type: ignore[arg-type]


def _plain(layer: Layer) -> dict[str, object]:
    return {"values": dict(layer.values), "origins": dict(layer.origins)}


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."
