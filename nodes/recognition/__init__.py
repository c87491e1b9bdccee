"""What is in pictures, how alike they are, and which of many is best."""
