"""Closures as files that other programs run: a Fortran model needs nothing but a compiler."""
