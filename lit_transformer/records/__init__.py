"""Run and sweep folders on disk, torch-free: names, locks, atomic writes, readers."""
