"""Tables of a configuration, recipe or request into checked dataclasses, and names into the backends they mean."""
