"""Tests of the documentation: its code runs, its tables are complete."""
