"""What `make bench` runs: the figures of the embedded cluster, beside those of a real one where there is one.

One module for each group of measurements; `__main__` lists them. Nothing is asserted: a figure that misses its aim
is shown as such, and a measurement that fails is said and does not stop the others.
"""
