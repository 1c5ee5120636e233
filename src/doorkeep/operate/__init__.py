"""Running servers for real: the command line, and what it starts."""
