"""What stands before and after networks for points: files, density, pictures."""
