"""One container: its root file system, its processes, streams and log; exec and attach."""
