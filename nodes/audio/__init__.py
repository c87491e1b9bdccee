"""Sounds and music from text."""
