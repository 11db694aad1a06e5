"""Closura beside its peers: `python -m benchmarks.lorenz96`. Not shipped with the package."""
