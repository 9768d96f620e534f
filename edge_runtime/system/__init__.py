"""What a process of Familiar is made of: its log, workers, retries and closing."""
