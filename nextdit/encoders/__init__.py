"""What stands before and after a network."""
