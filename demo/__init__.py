"""The checkpoint in the box, and how it was made."""
