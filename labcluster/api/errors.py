"""API errors: exceptions that carry a Kubernetes Status, with the texts of apimachinery's api/errors/errors.go."""

from __future__ import annotations

from typing import Any

from labcluster.api.field import FieldError
from labcluster.api.resources import Resource


class ApiError(Exception):
    """A request that was refused. `status()` is the body that the API server answers."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """The metav1.Status object of this error."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body

    def has_cause(self, reason: str) -> bool:
        """Whether one of the Status' causes has that reason (apierrors.HasStatusCause)."""
        return any(cause.get("reason") == reason for cause in self.details.get("causes") or ())


def _details(resource: Resource, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no such object."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """409: a precondition does not hold (another resourceVersion or uid)."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


NAMESPACE_TERMINATING = "NamespaceTerminating"  # the cause of a refused create in a namespace that is being deleted
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(resource: Resource, name: str, errors: list[FieldError]) -> ApiError:
    """422: the object's fields do not validate; one cause for each field error."""
    texts = [str(e) for e in errors]
    joined = texts[0] if len(texts) == 1 else "[" + ", ".join(dict.fromkeys(texts)) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    causes = [{"reason": e.reason, "message": e.text, "field": e.path} for e in errors]
    return ApiError(
        422,
        "Invalid",
        f'{kind} "{name}" is invalid: {joined}',
        {**details, "kind": resource.kind, "causes": causes},
    )


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, **more: Any) -> ApiError:
    """403: understood and refused (admission, authorisation)."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(resource, name, **more))


def unauthorized() -> ApiError:
    """401: no credentials, or wrong ones."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_supported(resource: Resource, action: str) -> ApiError:
    """405: the resource has no such verb."""
    message = f'{action} is not supported on resources of kind "{resource.qualified}"'
    return ApiError(405, "MethodNotAllowed", message, _details(resource, ""))


def expired(message: str) -> ApiError:
    """410: a resourceVersion or continue token that is older than the history kept."""
    return ApiError(410, "Expired", message)


def unsupported_media_type(message: str) -> ApiError:
    """415: the body's format is not served."""
    return ApiError(415, "UnsupportedMediaType", message)


def too_many_requests(message: str, cause: str, why: str, retry_seconds: int = 0) -> ApiError:
    """429: not now, perhaps later; `retry_seconds` 0 leaves it to the client when."""
    details: dict[str, Any] = {"causes": [{"reason": cause, "message": why}]}
    if retry_seconds:
        details["retryAfterSeconds"] = retry_seconds
    return ApiError(429, "TooManyRequests", message, details)


def too_large_resource_version(wanted: int, current: int) -> ApiError:
    """504: a resourceVersion from the future."""
    message = f"Too large resource version: {wanted}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": 1})


def not_implemented(what: str) -> ApiError:
    """501: something real clusters do and this one does not; says so instead of pretending."""
    return ApiError(501, "NotImplemented", f"the embedded cluster does not serve {what}")
