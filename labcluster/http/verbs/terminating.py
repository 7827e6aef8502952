"""What a definition that is going away means to requests (apiextensions-apiserver customresource_handler.go)."""

from __future__ import annotations

from labcluster.api.errors import ApiError, method_not_supported
from labcluster.api.objects import is_terminating
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from labcluster.http.call import Call, no_such_resource


def refuse_creation(call: Call) -> None:
    """No objects are made of a kind whose CustomResourceDefinition is being deleted. Raises ApiError 404 and 405."""
    if not call.resource.custom:
        return
    crd = call.registry.find(CUSTOM_RESOURCE_DEFINITIONS, "", call.resource.qualified)
    if crd is None:  # it went while the body was on its way
        raise no_such_resource()
    if is_terminating(crd):
        error = method_not_supported(call.resource, "create")
        message = "create not allowed while custom resource definition is terminating"
        raise ApiError(error.code, error.reason, message, error.details)
