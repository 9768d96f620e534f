"""Fitting an autoencoder, whose encoder goes to a device."""
