"""Whose face it is, and how often that is wrong: scores, thresholds, calibration."""
