"""Did-you-mean: the field's other names for a setting, then typing errors."""

import difflib
from collections.abc import Iterable

SYNONYMS: dict[str, str] = {
    "heads": "model.num_heads",
    "n_head": "model.num_heads",
    "n_heads": "model.num_heads",
    "nhead": "model.num_heads",
    "head_count": "model.num_heads",
    "num_attention_heads": "model.num_heads",
    "attention_heads": "model.num_heads",
    "kv_heads": "model.num_kv_heads",
    "n_kv_heads": "model.num_kv_heads",
    "num_key_value_heads": "model.num_kv_heads",
    "layers": "model.num_layers",
    "n_layer": "model.num_layers",
    "n_layers": "model.num_layers",
    "num_hidden_layers": "model.num_layers",
    "depth": "model.num_layers",
    "blocks": "model.num_layers",
    "n_embd": "model.d_model",
    "hidden_size": "model.d_model",
    "embed_dim": "model.d_model",
    "emb_dim": "model.d_model",
    "dim": "model.d_model",
    "width": "model.d_model",
    "ffn_dim": "model.d_ff",
    "ff_dim": "model.d_ff",
    "intermediate_size": "model.d_ff",
    "dim_feedforward": "model.d_ff",
    "block_size": "model.context_length",
    "seq_len": "model.context_length",
    "sequence_length": "model.context_length",
    "max_seq_len": "model.context_length",
    "max_length": "model.context_length",
    "n_ctx": "model.context_length",
    "context": "model.context_length",
    "drop": "model.dropout",
    "dropout_rate": "model.dropout",
    "p_dropout": "model.dropout",
    "tie_weights": "model.tie_embeddings",
    "tie_word_embeddings": "model.tie_embeddings",
    "arch": "model.kind",
    "model_type": "model.kind",
    "bs": "data.batch_size",
    "batch": "data.batch_size",
    "global_batch_size": "data.batch_size",
    "num_workers": "data.loader_workers",
    "workers": "data.loader_workers",
    "dataset": "data.source",
    "file": "data.path",
    "vocab": "data.tokenizer.vocab_size",
    "lr": "optimizer.lr",
    "learning_rate": "optimizer.lr",
    "max_lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "betas": "optimizer.beta1",
    "optim": "optimizer.name",
    "scheduler": "schedule.name",
    "lr_scheduler": "schedule.name",
    "warmup": "schedule.warmup_steps",
    "warmup_iters": "schedule.warmup_steps",
    "min_lr": "schedule.min_lr_ratio",
    "steps": "trainer.max_steps",
    "max_iters": "trainer.max_steps",
    "iterations": "trainer.max_steps",
    "num_steps": "trainer.max_steps",
    "epochs": "trainer.max_epochs",
    "num_epochs": "trainer.max_epochs",
    "n_epochs": "trainer.max_epochs",
    "gpus": "trainer.devices",
    "num_gpus": "trainer.devices",
    "num_devices": "trainer.devices",
    "nodes": "trainer.num_nodes",
    "device": "trainer.accelerator",
    "grad_accum": "trainer.accumulate",
    "accumulate_grad_batches": "trainer.accumulate",
    "gradient_accumulation_steps": "trainer.accumulate",
    "grad_clip": "trainer.gradient_clip",
    "clip": "trainer.gradient_clip",
    "gradient_clip_val": "trainer.gradient_clip",
    "max_grad_norm": "trainer.gradient_clip",
    "amp": "trainer.precision",
    "dtype": "trainer.precision",
    "eval_interval": "trainer.val_every",
    "eval_every": "trainer.val_every",
    "val_check_interval": "trainer.val_every",
    "save_every": "trainer.checkpoint_every",
    "patience": "trainer.early_stopping.patience",
    "log_interval": "tracking.log_every",
    "log_every_n_steps": "tracking.log_every",
    "wandb_project": "tracking.project",
    "random_seed": "seed",
}
"""What other projects call a setting -> what it is called here."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known name that `word` most likely stands for, or an empty string.

    `known` are dotted keys or plain names; a wrong section (`trainer.lr`) and a missing one (`lr`) are found too.
    """
    names = list(known)
    last = word.rpartition(".")[2].lower().replace("-", "_")
    if SYNONYMS.get(last) in names:
        return SYNONYMS[last]
    tails: dict[str, str] = {}
    for name in names:
        tails.setdefault(name.rpartition(".")[2], name)
    if last in tails:
        return tails[last]
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.65)
    if close:
        return close[0]
    by_tail = difflib.get_close_matches(last, [*tails, *SYNONYMS], n=3, cutoff=0.7)
    found = (tails.get(tail) or SYNONYMS[tail] for tail in by_tail)
    return next((name for name in found if name in names), "")
