"""Where it runs: command line, rig files, processes, sessions."""
