"""Kill processes of a running cluster at random moments, and look at what is left: `python -m tools.faults`."""
