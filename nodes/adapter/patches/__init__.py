"""What changes a model's calls."""
