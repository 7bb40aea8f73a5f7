"""Turning a network's logits into tokens."""
