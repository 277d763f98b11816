"""The compose file, and the way out of a container."""
