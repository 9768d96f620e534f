"""The command line's verbs: one file each, with ``add_arguments(parser)`` and ``run(args) -> int``."""
