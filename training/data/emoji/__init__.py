"""Emoji and their names in many languages."""
