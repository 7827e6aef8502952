"""What a node's state means for it and for its pods: taints, evictions, removal."""
