"""Names of the poses that may be wanted of whoever is enrolled before a camera."""

POSES = ("straight", "left", "right")
"""Left and right are the person's own."""
ANY = "any"
