"""Tests of the hub, its sockets, and what a green handler may call."""
