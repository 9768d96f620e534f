"""The log of events: appended by one thread before any sink sees them, and handed on to sinks from there.

``log`` is the daemon's end, ``reader`` everybody else's; ``store`` and ``database`` are the file beneath.
"""
