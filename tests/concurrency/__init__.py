"""Tests of how requests run side by side."""
