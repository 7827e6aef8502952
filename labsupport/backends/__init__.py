"""The kinds of cluster that the lab can run on: embedded, kind, or that of the current context."""
