"""Requests and answers as they travel: bodies, query parameters, forms, Status objects."""
