"""DNS: asking, resolving, serving zones, choosing among SRV records."""
