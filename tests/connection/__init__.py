"""Tests of what a connection goes through before its handler begins, and of what is known of it."""
