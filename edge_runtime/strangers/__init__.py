"""Faces that were seen and never named: told apart, counted, kept for a while, named, ignored or forgotten."""
