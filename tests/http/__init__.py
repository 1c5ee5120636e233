"""Tests of HTTP: what comes over the wire, the handlers, and what is served by them."""
