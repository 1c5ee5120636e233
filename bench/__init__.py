"""How fast doorkeep is, next to the servers that people have today. Run `python -m bench --help`."""
