"""Sorting texts by topic."""
