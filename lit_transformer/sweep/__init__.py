"""Sweeps: the sweep file, its grid of cells, the ledger of claims, the workers and their driver; torch-free but for size.py."""
