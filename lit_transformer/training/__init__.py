"""Preparing, training, checkpoints and logs: the only place where data and tasks meet. This file imports nothing."""
