"""Files that lose nothing and tell nobody: SQLite made whole, and the device key."""
