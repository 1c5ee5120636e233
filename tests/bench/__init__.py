"""Tests of the benchmarks: of their arithmetic, reports and programs, not of anybody's speed."""
