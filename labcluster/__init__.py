"""A small Kubernetes in one process: API server, controllers, nodes, network and DNS, without root."""
