"""How near structured captions made by rules come to those of a language model."""
