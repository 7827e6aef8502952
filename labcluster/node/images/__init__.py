"""The images that pods can use, and how a container gets its own."""
