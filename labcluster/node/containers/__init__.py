"""One container: its root file system, its process, its streams, its log, its end."""
