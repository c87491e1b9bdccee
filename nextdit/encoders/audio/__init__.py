"""What stands around a network of audio: mel spectra, the autoencoder that shortens them, vocoders, text encoders."""
