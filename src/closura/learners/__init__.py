"""Learners: recipes that turn recorded pairs into closures."""
