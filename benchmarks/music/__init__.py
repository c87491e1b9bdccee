"""What the model of music is worth: tempo, key and instrument, by judges that never heard its SoundFonts."""
