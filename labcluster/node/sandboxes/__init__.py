"""The network identity that a pod's containers share."""
