"""From a model to a bundle."""
