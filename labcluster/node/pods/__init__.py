"""The kubelet's work for a pod: its containers, probes, hooks, volumes and status."""
