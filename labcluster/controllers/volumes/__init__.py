"""Claims and volumes: made, bound, protected (pkg/controller/volume)."""
