"""Where text comes from: corpora, splits, tokenizers, token caches and the batches of a run."""
