"""Which form of an answer the client accepts (upstream: apiserver pkg/endpoints/handlers/negotiation)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from labcluster.api.errors import ApiError

TABLE = "Table"
PARTIAL = "PartialObjectMetadata"
PARTIAL_LIST = "PartialObjectMetadataList"
DISCOVERY = "APIGroupDiscoveryList"

_JSON_TYPES = ("application/json", "application/*", "*/*")
_YAML = "application/yaml"


@dataclass(frozen=True)
class Form:
    """A negotiated form: the media type, and what the object is to be shown as ("" is as it is)."""

    media_type: str = "application/json"
    shown_as: str = ""
    version: str = ""  # of the shown form: v1, v2

    @property
    def is_yaml(self) -> bool:
        """Whether the answer is YAML."""
        return self.media_type == _YAML


_AS = {
    (TABLE, "meta.k8s.io"): ("v1", "v1beta1"),
    (PARTIAL, "meta.k8s.io"): ("v1", "v1beta1"),
    (PARTIAL_LIST, "meta.k8s.io"): ("v1", "v1beta1"),
    (DISCOVERY, "apidiscovery.k8s.io"): ("v2", "v2beta1"),
}


@functools.lru_cache(maxsize=256)
def negotiate(accept: str) -> Form:
    """The first acceptable form in the order of preference. Raises ApiError 406 when there is none."""
    for media_type, parameters in _ranges(accept):
        shown_as = parameters.get("as", "")
        if shown_as:
            versions = _AS.get((shown_as, parameters.get("g", "")), ())
            if media_type in _JSON_TYPES and parameters.get("v") in versions:
                return Form("application/json", shown_as, parameters["v"])
        elif media_type in _JSON_TYPES:
            return Form()
        elif media_type == _YAML:
            return Form(_YAML)
    raise ApiError(
        406,
        "NotAcceptable",
        f"only the following media types are accepted: application/json, {_YAML}; the request accepts {accept}",
    )


def _ranges(accept: str) -> list[tuple[str, dict[str, str]]]:
    """The media ranges of an Accept header (RFC 9110, section 12.5.1), the preferred ones first."""
    ranges = []
    for part in (accept or "*/*").split(","):
        media_type, *rest = (p.strip() for p in part.split(";"))
        parameters = {}
        for parameter in rest:
            key, _, value = parameter.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            ranges.append((quality, media_type.lower(), parameters))
    ranges.sort(key=lambda entry: -entry[0])
    return [(media_type, parameters) for _, media_type, parameters in ranges]
