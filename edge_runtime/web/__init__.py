"""The API and the page, served by a process of their own that holds no key and asks the daemon for everything.

Absent and not imported unless ``[web] listen`` is set.
"""
