"""The people this device knows: kept, sealed, moved, forgotten."""
