"""One class per objective that makes batches of blocks of a token stream."""
