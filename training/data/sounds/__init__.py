"""Clips of General MIDI sounds and their captions."""
