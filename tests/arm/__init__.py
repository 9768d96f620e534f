"""The device's own programs on arm64, emulated by qemu-user: function, not speed. ``python -m tests.arm``."""
