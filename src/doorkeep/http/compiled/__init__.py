"""What each request and each response goes through, in Cython: what `doorkeep.http.pure` is, made fast."""
