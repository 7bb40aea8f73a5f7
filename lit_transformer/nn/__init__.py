"""Pure torch layers: plain arguments in, tensors out, no configuration."""
