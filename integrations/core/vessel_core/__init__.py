"""Vessel's adapter core."""
