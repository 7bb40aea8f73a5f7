"""Preparing, training, checkpoints and logs: the only place where data and tasks meet. Importing it imports no torch."""
