"""From a picture to embeddings: alignment, quality, encoding."""
