"""Recognition of pictures of any size and shape, beside a plain ViT."""
