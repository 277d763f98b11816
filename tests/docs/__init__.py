"""What people read and try first: the pages, the README, the demo, the notebook."""
