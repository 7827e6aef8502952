"""What the published schemas say: types, decoding, patches, OpenAPI, and who manages which field."""
