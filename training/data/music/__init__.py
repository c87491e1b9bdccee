"""Tunes of General MIDI instruments, made up by rules, and their captions."""
