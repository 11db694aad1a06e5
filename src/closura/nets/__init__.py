"""Bare networks and tables of numbers: arrays in, arrays out, no physics and no State."""
