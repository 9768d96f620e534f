"""Pictures made for people to look at."""
