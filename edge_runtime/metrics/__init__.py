"""How well embeddings tell people apart: figures for training, conversion and the device."""
