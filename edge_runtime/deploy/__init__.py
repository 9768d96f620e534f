"""Bundle, wheel, configuration and unit to a device over the user's own OpenSSH: see :mod:`.deployment`."""
