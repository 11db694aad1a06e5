"""Score models in their own runs: one protocol for every hybrid, every baseline and the floor."""
