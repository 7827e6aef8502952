"""From `lab up` to a daemon in namespaces of its own, and back."""
