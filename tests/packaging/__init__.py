"""What users install, and what is checked in."""
