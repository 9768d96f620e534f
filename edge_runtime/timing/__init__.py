"""When to try again: below everything that waits for somebody else."""
