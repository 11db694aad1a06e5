"""Solvers: how a forecast is made to agree with observations. They know arrays, not models."""
