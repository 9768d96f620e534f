"""Visitors who were never named: told apart, counted, kept for a while, named, ignored or forgotten."""
