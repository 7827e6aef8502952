"""Request bodies in protobuf, as kubectl and controllers send some of them."""
