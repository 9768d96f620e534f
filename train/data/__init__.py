"""From photos to files to train from."""
