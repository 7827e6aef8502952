"""The life of a pod on its node: its containers, probes, volumes and status."""
