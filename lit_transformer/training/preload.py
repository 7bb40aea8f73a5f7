"""What the fork server imports once, so that trials start warm. Touching CUDA here would break every child."""

import gc

import wandb

import lit_transformer.training.run
import lit_transformer.training.wandb_writer
from lit_transformer.config.load import from_plain
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.training.counted import code
from lit_transformer.training.identity import versions

__all__ = ["lit_transformer", "wandb"]

from_plain(to_plain(ExperimentConfig()))  # imports OmegaConf and makes its trees of the schema
versions()
code()
gc.freeze()  # else each child walks, and so copies, what stands here, at a cost that a short trial would feel
