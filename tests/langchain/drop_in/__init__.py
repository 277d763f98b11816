"""Programs written for other integrations, run with ours."""
