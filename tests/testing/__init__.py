"""Tests of `doorkeep.testing`."""
