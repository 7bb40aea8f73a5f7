"""Sweeps: the file, its grid of cells, the ledger of claims, workers and their driver; torch-free but for size.py."""
