"""A Redis cluster from outside: the wire format, slots, redirects, members, administration, loads, server names."""
