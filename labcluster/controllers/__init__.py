"""The control loops, each like its upstream twin, a file or a folder each."""
