"""What to paint, and where."""
