"""The images that pods can use: a table of programs, and their "pull"."""
