"""How well codes tell people apart: measures for training, conversion and the device."""
