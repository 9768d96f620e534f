"""The Debian package in an unpacked Debian of its architecture: ``python -m tests.debian``."""
