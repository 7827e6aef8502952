"""The course's own cluster, made by kind with a container engine."""
