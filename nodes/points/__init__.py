"""Points from a label or a text, to and from files."""
