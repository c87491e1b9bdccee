"""Texts for the text encoder."""
