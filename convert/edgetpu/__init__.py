"""Whether a model maps to the Edge TPU, and its compiler."""
