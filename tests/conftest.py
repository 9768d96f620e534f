"""What the whole suite needs of the process it runs in."""

import signal

# A shell without job control starts background commands with Ctrl-C ignored, and every child inherits that; the
# tests of interrupted commands want it as a person at a terminal has it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
