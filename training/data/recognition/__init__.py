"""Labelled pictures: emoji in several drawing styles, and people's own folders."""
