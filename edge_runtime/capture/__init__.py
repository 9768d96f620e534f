"""Frames from a process of their own, over memory both have mapped."""
