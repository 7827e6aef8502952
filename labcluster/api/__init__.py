"""The words every room speaks: objects, the table of resources, selectors, quantities, errors."""
