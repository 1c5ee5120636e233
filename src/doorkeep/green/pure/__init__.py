"""The hub and its streams in Python: what runs where `doorkeep.green.compiled` was not, or could not be, built."""
