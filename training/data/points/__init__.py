"""Point clouds of procedural shapes and their captions."""
