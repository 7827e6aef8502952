"""What the notebooks of the course may import."""
