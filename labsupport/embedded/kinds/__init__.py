"""The kinds: what each one defaults, admits, validates and prints."""
