"""Where objects live: the store on disk, the watch cache in memory, and the registry that writes to both."""
