"""The control socket of a daemon: protocol, server, client."""
