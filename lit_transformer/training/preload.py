"""What the fork server imports once, so that trials start warm. Touching CUDA here would break every child."""

import wandb

import lit_transformer.training.run
import lit_transformer.training.wandb_writer

__all__ = ["lit_transformer", "wandb"]
