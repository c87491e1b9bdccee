"""What is trained on, one folder a source."""
