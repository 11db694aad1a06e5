"""Geometry: rings now, planes and spheres as they come."""
