"""The cluster of the current kubeconfig context: somebody else's, where the course keeps to its own namespaces."""
