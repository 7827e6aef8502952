"""What stands below one object: scale, binding, eviction, logs, the proxy."""
