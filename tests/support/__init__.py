"""Helpers of the tests: the real server, real peers, real data."""
