"""Desktop: a trained Keras encoder in, a bundle for devices out. Needs nothing of ``train`` or ``models``."""
