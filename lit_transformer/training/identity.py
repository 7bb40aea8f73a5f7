"""What a run's numbers depend on, and whether a resume stays exact. Torch-free: asked before anything is imported."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from lit_transformer.config.layers import flatten
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.processes.hardware import gpu_names, processor
from lit_transformer.version import __version__

PACKAGES = ("torch", "lightning", "numpy", "tokenizers")

HARMLESS = (
    "experiment",
    "data.loader_workers",
    "data.path",  # what lies there is compared by its fingerprint
    "data.persistent_workers",
    "data.test_path",
    "data.val_path",
    "trainer.activation_checkpointing",
    "trainer.checkpoint_every",
    "trainer.devices",  # the number of ranks is compared as such
    "trainer.hang_timeout",
    "trainer.keep",
    "trainer.keep_checkpoints",
    "trainer.max_time",
    "trainer.num_nodes",
    "trainer.profile",
    "tracking.attention",
    "tracking.project",
    "tracking.wandb",
)
"""Settings that change no number..."""

AVERAGED = ("trainer.checkpoint_every",)
"""... but for these where checkpoints are averaged."""

ANOTHER_NETWORK = ("task", "model.", "optimizer.name")
"""Settings that another one's weights and moments do not fit..."""

SAME_WEIGHTS = ("model.dropout", "model.init_std")
"""... but for these."""


@dataclass(frozen=True)
class Change:
    """Something that differs between a checkpoint and the run that would go on from it."""

    what: str
    before: object
    now: object
    fits: bool = True
    """False: the checkpoint cannot be loaded at all."""

    def __str__(self) -> str:
        return f"{self.what}: {_shown(self.before)} -> {_shown(self.now)}"


def identity(config: ExperimentConfig, fingerprint: object) -> dict[str, object]:
    """What the numbers of a run of this process depend on, as plain values."""
    device = gpu_names()[:1] if config.trainer.accelerator == "cuda" else [processor()]
    return {
        "config": to_plain(config),
        "ranks": config.trainer.devices * config.trainer.num_nodes,
        "data": fingerprint,
        "device": ", ".join(device),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions that a run's numbers depend on."""
    return {
        "lit-transformer": __version__,
        "python": platform.python_version(),
        **{name: _installed(name) for name in PACKAGES},
    }


@cache  # what is imported stays
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def changes(before: Mapping[str, object], now: Mapping[str, object]) -> list[Change]:
    """What differs, but for settings that change no number."""
    found = []
    old, new = flatten(before), flatten(now)
    averaged = any(of.get("config.trainer.average_checkpoints", 0) not in (0, 1) for of in (old, new))
    harmless = set(HARMLESS) - set(AVERAGED if averaged else ())
    for key in dict.fromkeys([*old, *new]):
        setting = key.removeprefix("config.")
        if old.get(key) == new.get(key) or (key != setting and setting in harmless):
            continue
        fits = key == setting or setting in SAME_WEIGHTS or not setting.startswith(ANOTHER_NETWORK)
        name = {"ranks": "number of ranks", "data": "data (fingerprint)"}.get(key, setting.removeprefix("versions."))
        found.append(Change(name, old.get(key), new.get(key), fits))
    return found


def _shown(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
