"""Which face is which over time, and how rarely to look."""
