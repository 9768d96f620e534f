"""Boxes, the alignment of faces, and the geometry of embeddings."""
