"""What the fork server imports once, so that trials start warm. It only imports: touching CUDA here would break them."""

import wandb

import lit_transformer.training.run
import lit_transformer.training.wandb_writer

__all__ = ["lit_transformer", "wandb"]
