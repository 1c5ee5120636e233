"""Mix-ins: how requests run side by side."""
