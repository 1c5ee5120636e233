"""What runs in Python where `doorkeep.http.compiled` was not, or could not be, built."""
