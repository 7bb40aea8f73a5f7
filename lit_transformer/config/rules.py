"""What a configuration must fulfil beyond types; every broken rule is reported at once."""

import math
from collections.abc import Iterator

from lit_transformer.config.durations import seconds
from lit_transformer.config.models import T5Config, TransformerConfig
from lit_transformer.config.registry import IMAGE_TASKS, NAMED_SOURCES, PAIR_TASKS, ROW_TASKS, TASK_OBJECTIVES
from lit_transformer.config.rules_base import Broken, Rule
from lit_transformer.config.rules_budget import budget_rules
from lit_transformer.config.rules_images import image_rules
from lit_transformer.config.schema import ExperimentConfig

AT_LEAST: dict[str, float] = {
    "model.num_layers": 1,
    "model.num_heads": 1,
    "model.num_kv_heads": 1,
    "model.d_model": 1,
    "model.d_ff": 1,
    "model.num_encoder_layers": 1,
    "model.num_decoder_layers": 1,
    "model.head_dim": 1,
    "model.relative_buckets": 4,
    "model.relative_max_distance": 1,
    "model.token_types": 1,
    "model.in_channels": 1,
    "model.num_stages": 1,
    "model.base_channels": 1,
    "model.convs_per_stage": 1,
    "model.frozen_layers": 0,
    "model.norm_eps": 0,
    "model.context_length": 1,
    "model.vocab_size": 1,
    "model.init_std": 0,
    "data.batch_size": 1,
    "data.max_tokens": 1,
    "objective.mean_span": 1,
    "objective.lm_weight": 0,
    "decoding.beam_size": 1,
    "decoding.length_penalty": 0,
    "decoding.max_length": 1,
    "decoding.val_rows": 0,
    "trainer.average_checkpoints": 0,
    "data.loader_workers": 0,
    "data.ignore_index": 0,
    "data.images.height": 1,
    "data.images.width": 1,
    "data.images.crop": 1,
    "data.images.scale": 1,
    "data.images.brightness": 0,
    "data.images.contrast": 0,
    "data.images.saturation": 0,
    "data.images.max_pixels": 1,
    "objective.focal_gamma": 0,
    "data.max_bytes": 1,
    "data.tokenizer.vocab_size": 1,
    "data.tokenizer.min_frequency": 1,
    "optimizer.lr": 0,
    "optimizer.weight_decay": 0,
    "optimizer.momentum": 0,
    "optimizer.eps": 0,
    "schedule.warmup_steps": 0,
    "trainer.max_steps": 1,
    "trainer.max_epochs": 1,
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.threads": 1,
    "trainer.accumulate": 1,
    "trainer.gradient_clip": 0,
    "trainer.val_every": 1,
    "trainer.keep_checkpoints": 1,
    "trainer.early_stopping.patience": 1,
    "trainer.early_stopping.min_delta": 0,
    "trainer.limit_train_batches": 0,
    "trainer.limit_val_batches": 0,
    "trainer.overfit_batches": 0,
    "tracking.log_every": 1,
    "budget.parameters": 1,
    "budget.flops_per_token": 1,
    "budget.total_flops": 1,
    "seed": 0,
}
"""Dotted key -> the least value allowed."""

TEXT_SOURCES, ROW_SOURCES = ("builtin", "text", "jsonl", "hub"), ("builtin", "text", "tsv", "jsonl", "copa", "hub")
IMAGE_SOURCES = ("builtin", "images", "pets", "voc")
"""Values of data.source, by what the task reads."""

SHARES = ("model.dropout", "objective.label_smoothing", "objective.mask_rate", "optimizer.beta1", "optimizer.beta2",
          "data.val_fraction", "data.test_fraction", "trainer.ema_decay")  # fmt: skip
"""Settings in [0, 1)."""


def broken_rules(config: ExperimentConfig) -> Iterator[Broken]:
    """Every rule that `config` breaks."""
    for rule in RULES:
        yield from rule(config)


def _value(config: ExperimentConfig, key: str) -> object:
    value: object = config
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _bounds(config: ExperimentConfig) -> Iterator[Broken]:
    for key, least in AT_LEAST.items():
        value = _value(config, key)
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
            yield Broken((key,), str(value), f"{least} or more")
    for key in SHARES:
        value = _value(config, key)
        if isinstance(value, float) and not 0 <= value < 1:
            yield Broken((key,), str(value), "0 <= value < 1")
    ratio = config.schedule.min_lr_ratio
    if not 0 <= ratio <= 1:
        yield Broken(("schedule.min_lr_ratio",), str(ratio), "0 to 1")
    shares = (config.objective.mask_share, config.objective.random_share)
    if min(shares) < 0 or sum(shares) > 1:
        keys = ("objective.mask_share", "objective.random_share")
        yield Broken(keys, f"{shares[0]} and {shares[1]}", "shares of at least 0, together 1 at most")
    for key in ("trainer.limit_train_batches", "trainer.limit_val_batches", "trainer.overfit_batches"):
        value = _value(config, key)
        if isinstance(value, float) and value > 1:
            yield Broken((key,), str(value), "a whole number of batches, or a share up to 1.0")
    if config.trainer.limit_val_batches == 0:
        key = "trainer.limit_val_batches"
        yield Broken((key,), "0", "1 or more batches, or a share above 0: a run ends with a validation", "1, say")


def divisors(number: int) -> list[int]:
    """The divisors of a positive number, ascending."""
    return [k for k in range(1, number + 1) if number % k == 0]


def nearest(number: int, allowed: list[int]) -> str:
    """The nearest allowed numbers below and above."""
    below = [k for k in allowed if k < number][-1:]
    above = [k for k in allowed if k > number][:1]
    return " or ".join(map(str, below + above))


def _heads(config: ExperimentConfig) -> Iterator[Broken]:
    model = config.model
    if not isinstance(model, TransformerConfig) or min(model.num_heads, model.d_model) < 1:
        return
    width, heads = model.d_model, model.num_heads
    positions, kv_heads = getattr(model, "positions", None), getattr(model, "num_kv_heads", None)
    if width % heads and not (isinstance(model, T5Config) and model.head_dim):
        down, up = width // heads * heads, -(-width // heads) * heads
        widths = " or ".join(str(k) for k in (down, up) if k)
        yield Broken(
            ("model.num_heads", "model.d_model"),
            f"num_heads {heads} with d_model {width}",
            "a num_heads that divides d_model",
            f"num_heads {nearest(heads, divisors(width))}, or d_model {widths}",
        )
    elif positions == "rope" and (width // heads) % 2:
        yield Broken(
            ("model.positions", "model.num_heads", "model.d_model"),
            f"rope with heads of width {width // heads} (d_model {width} / num_heads {heads})",
            "an even width of a head",
            "positions: learned, or another num_heads",
        )
    if positions == "sinusoidal" and width % 2:
        yield Broken(
            ("model.positions", "model.d_model"),
            f"sinusoidal with d_model {width}",
            "an even d_model, a sine and a cosine for each frequency",
            f"d_model {width + 1}, or positions: learned",
        )
    if kv_heads and kv_heads > 0 and heads % kv_heads:
        yield Broken(
            ("model.num_kv_heads", "model.num_heads"),
            f"num_kv_heads {kv_heads} with num_heads {heads}",
            "a num_kv_heads that divides num_heads",
            f"num_kv_heads {nearest(kv_heads, divisors(heads))}",
        )


def _batch(config: ExperimentConfig) -> Iterator[Broken]:
    trainer = config.trainer
    share = trainer.devices * trainer.num_nodes * trainer.accumulate
    size = config.data.batch_size
    if config.data.max_tokens is not None:
        if config.task not in ROW_TASKS:
            got = f"{config.data.max_tokens} with task {config.task}"
            yield Broken(
                ("data.max_tokens", "task"), got, "null: its rows are all of one length", "set data.batch_size"
            )
    elif share >= 1 and size >= 1 and size % share:
        sizes = " or ".join(str(k) for k in (size // share * share, -(-size // share) * share) if k)
        yield Broken(
            ("data.batch_size", "trainer.devices", "trainer.num_nodes", "trainer.accumulate"),
            f"{size} over devices {trainer.devices} x num_nodes {trainer.num_nodes} x accumulate {trainer.accumulate}",
            f"a multiple of {share}",
            f"batch_size {sizes}",
        )


def _length(config: ExperimentConfig) -> Iterator[Broken]:
    trainer = config.trainer
    if trainer.max_steps is None and trainer.max_epochs is None:  # max_time alone gives the schedule no last step
        yield Broken(
            ("trainer.max_steps", "trainer.max_epochs"),
            "max_steps null and max_epochs null",
            "at least one of them",
            "set trainer.max_steps=1000, say",
        )
    durations = {
        "trainer.max_time": trainer.max_time,
        "trainer.checkpoint_every": trainer.checkpoint_every,
        "trainer.hang_timeout": trainer.hang_timeout,
    }
    for key, value in durations.items():
        if isinstance(value, int) and value < 1:
            yield Broken((key,), str(value), "1 or more steps, or minutes such as 10min")
        if isinstance(value, str):
            try:
                seconds(value)
            except ValueError:
                yield Broken((key,), repr(value), "a duration such as 30s, 10min or 2h")


def _averages(config: ExperimentConfig) -> Iterator[Broken]:
    trainer, number = config.trainer, config.trainer.average_checkpoints
    if number < 2:
        return
    if number > trainer.keep_checkpoints:  # one place is that of a checkpoint which a signal asked for
        keys = ("trainer.average_checkpoints", "trainer.keep_checkpoints")
        got = f"{number} with keep_checkpoints {trainer.keep_checkpoints}"
        yield Broken(keys, got, "as many as are kept, or fewer", f"keep_checkpoints {number}")
    if isinstance(trainer.checkpoint_every, str):
        keys = ("trainer.average_checkpoints", "trainer.checkpoint_every")
        got = f"{number} with checkpoint_every {trainer.checkpoint_every}"
        yield Broken(keys, got, "checkpoints at fixed steps, which a resumed run repeats", "checkpoint_every 1000, say")
    if trainer.early_stopping.patience is not None:
        keys = ("trainer.average_checkpoints", "trainer.early_stopping.patience")
        got = f"{number} with patience {trainer.early_stopping.patience}"
        yield Broken(keys, got, "a run whose last step is known before, where the mean is taken", "patience null")
    if trainer.ema_decay is not None:
        keys = ("trainer.average_checkpoints", "trainer.ema_decay")
        yield Broken(keys, f"{number} and {trainer.ema_decay}", "one kind of average")


def _data(config: ExperimentConfig) -> Iterator[Broken]:
    data = config.data
    images = config.task in IMAGE_TASKS
    allowed = IMAGE_SOURCES if images else ROW_SOURCES if config.task in ROW_TASKS else TEXT_SOURCES
    source = data.source.partition(":")[0]
    if source not in allowed or (source == "hub") != (":" in data.source):
        names = ", ".join("hub:NAME_OR_FOLDER" if name == "hub" else name for name in allowed)
        yield Broken(("data.source", "task"), f"{data.source!r} with task {config.task}", names)
    if source not in ("builtin", "hub") and not data.path:
        yield Broken(
            ("data.path", "data.source"),
            f"null with source {source}",
            "the folder of the data" if images else "a file or glob",
            f"set data.path={'FOLDER' if images else 'FILE'}, or data.source=builtin",
        )
    if data.source_template is not None and not (config.task in PAIR_TASKS and source in NAMED_SOURCES):
        yield Broken(
            ("data.source_template", "task", "data.source"),
            f"{data.source_template!r} with task {config.task} and data.source {data.source}",
            f"null, or {' or '.join(PAIR_TASKS)} with rows whose fields have names: {', '.join(NAMED_SOURCES)}",
        )
    held_out = (0 if data.val_path else data.val_fraction) + (0 if data.test_path else data.test_fraction)
    if held_out >= 1:
        keys = ("data.val_fraction", "data.test_fraction")
        yield Broken(
            keys, f"{data.val_fraction} + {data.test_fraction}", "a sum below 1, so that something is left to train on"
        )


def _fits_task(config: ExperimentConfig) -> Iterator[Broken]:
    kinds, name = TASK_OBJECTIVES[config.task], config.objective.name
    objectives = kinds.get(config.model.kind)
    if objectives is None:
        yield Broken(("model.kind", "task"), f"{config.model.kind} with task {config.task}", ", ".join(kinds))
    elif name is not None and name not in objectives:
        got = f"{name} with task {config.task} and model.kind {config.model.kind}"
        yield Broken(("objective.name", "task", "model.kind"), got, ", ".join(objectives))


def _without_effect(config: ExperimentConfig) -> Iterator[Broken]:
    """Settings that another task or objective would leave out without a word."""
    task, objective = config.task, config.objective
    if objective.cloze and task != "language_model":
        allowed = "false: language models alone are asked for single tokens"
        yield Broken(("objective.cloze", "task"), f"true with task {task}", allowed, "leave it out")
    if objective.next_sentence and objective.name != "masked_lm":
        keys = ("objective.next_sentence", "objective.name", "task", "model.kind")
        got = f"true with objective.name {objective.name}"
        yield Broken(keys, got, "false: segments are part of masked_lm alone", "leave it out, or train model.kind=bert")
    if config.data.prefix and task not in PAIR_TASKS:
        allowed = f"nothing: a prefix stands before the source of {' or '.join(PAIR_TASKS)}"
        as_text = "text" in TASK_OBJECTIVES[task].get(config.model.kind, ())
        fix = "put it into objective.template, with objective.name=text" if as_text else "leave it out"
        yield Broken(("data.prefix", "task"), f"{config.data.prefix!r} with task {task}", allowed, fix)


RULES: tuple[Rule, ...] = (
    _bounds, _heads, _batch, _length, _averages, _data, _fits_task, _without_effect, image_rules, budget_rules,
)  # fmt: skip
