"""Who makes a request, in whose name, and whether they may."""
