"""One set of behaviours, the same on every concurrency model and over every transport."""
