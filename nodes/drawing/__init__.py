"""Curves and readouts as pictures."""
