"""The daemon on a synthetic camera."""
