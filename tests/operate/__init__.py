"""Tests of `doorkeep.operate`."""
