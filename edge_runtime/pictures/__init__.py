"""Pictures read from files."""
