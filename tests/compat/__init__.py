"""Tests of what existing programs lean on."""
