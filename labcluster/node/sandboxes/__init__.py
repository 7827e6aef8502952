"""Pod sandboxes: the network namespace, address and host name that a pod's containers share."""
