"""What a conversion costs, measured and shown."""
