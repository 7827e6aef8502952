"""Structural schemas: what a CustomResourceDefinition says its objects look like, and everything that follows from it.

Upstream: apiextensions-apiserver pkg/apiserver/schema and pkg/apiserver/validation, kube-openapi pkg/validation.
A schema is the JSON of an `openAPIV3Schema`, as the definition holds it.
"""
