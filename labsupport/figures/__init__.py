"""The course's figures, one file each; `drawing` has their common look."""
