"""What a connection goes through before its handler begins, and what is known of it."""
