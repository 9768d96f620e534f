"""Tables of a configuration, recipe or request into checked dataclasses."""
