"""Closures, hand-written and learned, and the features that learned ones read."""
