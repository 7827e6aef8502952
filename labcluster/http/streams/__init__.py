"""Connections that stay open: exec, attach and port-forward, over WebSockets and SPDY."""
