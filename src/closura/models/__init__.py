"""Models, one a file; each knows its variables and its time step, and steps a snapshot."""
