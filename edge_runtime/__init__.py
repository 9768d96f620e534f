"""The device side of Familiar: a camera in, names out. Never imports tensorflow or keras."""
