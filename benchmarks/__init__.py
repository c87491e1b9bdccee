"""Measurements behind the README's and docs' numbers, each one command."""
