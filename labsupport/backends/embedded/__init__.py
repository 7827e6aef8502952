"""The embedded cluster: the one door to `labcluster`."""
