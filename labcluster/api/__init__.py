"""What every room uses: objects, the table of resources, selectors, quantities, times, errors."""
