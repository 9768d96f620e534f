import sys

from edge_runtime.app.command_line import main

sys.exit(main())
