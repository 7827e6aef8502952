"""The nodes: one kubelet for all, a container runtime, and pods as processes in namespaces of their own."""
