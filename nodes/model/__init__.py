"""Patches on a model."""
