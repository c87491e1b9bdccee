"""What the model of sounds is worth, by a judge that never heard its SoundFonts."""
