"""Clips of emoji that move, and captions that say how."""
