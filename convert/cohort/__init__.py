"""The strangers a bundle brings along."""
