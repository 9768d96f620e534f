"""What a process of Familiar is made of: its log, workers, backends by name, retries and closing."""
