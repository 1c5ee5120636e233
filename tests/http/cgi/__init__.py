"""Tests of `doorkeep.http.cgi`."""
