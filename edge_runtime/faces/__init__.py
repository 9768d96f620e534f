"""From a picture to codes: alignment, quality, encoding."""
