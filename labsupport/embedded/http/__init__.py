"""The REST API over HTTPS."""
