"""A Redis cluster from outside: the wire format, slots, redirects, members, loads."""
