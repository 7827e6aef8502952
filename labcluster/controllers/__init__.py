"""The control loops, each like its upstream twin, one file each."""
