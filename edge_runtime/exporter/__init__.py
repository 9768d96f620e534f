"""Figures for a monitoring system, read over HTTP; nothing here is loaded unless ``[metrics] listen`` is set."""
