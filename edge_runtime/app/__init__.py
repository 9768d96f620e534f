"""The command line and what it opens: the daemon's people, or those of the files."""
