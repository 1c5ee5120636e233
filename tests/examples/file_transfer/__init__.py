"""Tests of the file-transfer server and client."""
