"""Number-plate cameras: a plate becomes a token here and goes no further; passages become flows here."""
