"""Objects of simple solids, seen from all around."""
