"""What the server says about itself: discovery, OpenAPI, version, health, and what it does not serve."""
