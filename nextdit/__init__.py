"""The Next-DiT model family in plain PyTorch."""
