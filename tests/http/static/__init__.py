"""Tests of `doorkeep.http.static`."""
