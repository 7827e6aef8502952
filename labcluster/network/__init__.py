"""Services and DNS: virtual addresses, node ports, and the names of the cluster."""
