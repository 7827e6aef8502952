"""Secret: write-only texts, keys, types with required keys (upstream: pkg/registry/core/secret, ValidateSecret)."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

import orjson

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import SECRETS, Resource
from labcluster.kinds.configmaps import MAX_BYTES, config_key_errors, immutability_errors
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age

OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"
# Keys that a secret of a type must have.
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


class SecretKind(Kind):
    """Bytes in base64 under keys that can be file names."""

    resource: ClassVar[Resource] = SECRETS

    def default(self, obj: JSON) -> None:
        """The type, and `stringData` turned into `data`: it is never read back."""
        obj["type"] = obj.get("type") or OPAQUE
        texts = obj.pop("stringData", None)
        if texts:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the keys, the size, and of what the type requires."""
        data = obj.get("data") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += config_key_errors(key, f"data[{key}]")
        if sum(len(value) * 3 // 4 for value in data.values()) > MAX_BYTES:
            errors.append(field.too_long("data", MAX_BYTES))
        return errors + _type_errors(obj, data)

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The type never changes; what is immutable stays so."""
        errors = immutability_errors(new, old, ("data",))
        if new.get("type") != old.get("type"):
            errors.append(field.invalid("type", new.get("type"), "field is immutable"))
        return errors + self.validate(new)

    def fields(self, obj: JSON) -> dict[str, str]:
        """`type`."""
        return {"type": obj.get("type", "")}

    columns = (Column("Name", format="name"), Column("Type"), Column("Data"), Column("Age"))

    def cells(self, obj: JSON) -> list[Any]:
        """Name, type, number of keys, age."""
        return [obj["metadata"]["name"], obj.get("type", ""), len(obj.get("data") or {}), age(obj)]


def _type_errors(obj: JSON, data: JSON) -> list[FieldError]:
    kind = obj.get("type", "")
    if kind == SERVICE_ACCOUNT_TOKEN and not annotations_of(obj).get(SERVICE_ACCOUNT_NAME):
        return [field.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")]
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        return [field.required("data[username]"), field.required("data[password]")]
    errors = [field.required(f"data[{key}]") for key in _REQUIRED_KEYS.get(kind, ()) if key not in data]
    for key in (".dockercfg", ".dockerconfigjson"):
        if key in _REQUIRED_KEYS.get(kind, ()) and key in data and not _is_json(data[key]):
            errors.append(field.invalid(f"data[{key}]", "<secret contents redacted>", "invalid JSON"))
    return errors


def _is_json(value: str) -> bool:
    try:
        orjson.loads(base64.b64decode(value))
    except ValueError:
        return False
    return True
