"""Whole programs, as their users start them."""
