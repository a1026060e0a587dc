"""The description of the server's interface, OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from bench.serving.limits import Limits
from bench.utils.version import __version__

_ANSWER = {
    "type": "object",
    "required": ["label", "best", "probability", "classes", "neighbours"],
    "properties": {
        "label": {"type": "string", "description": "The class, or 'none of these' below the chosen confidence."},
        "best": {"type": "string", "description": "The class with the largest score in any case."},
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
        "classes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"label": {"type": "string"}, "probability": {"type": "number"}},
            },
        },
        "neighbours": {"type": "array", "items": {"$ref": "#/components/schemas/Neighbour"}},
        "weights": {"type": "string"},
    },
}
_NEIGHBOUR = {
    "type": "object",
    "properties": {
        "item": {"type": "string"},
        "label": {"type": "string"},
        "similarity": {"type": "number"},
        "weight": {"type": "number"},
        "memory": {"enum": ["image", "text"]},
    },
}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_NAMES = {"type": "array", "items": {"type": "string"}}


def openapi(limits: Limits, *, token: bool, edits: bool) -> dict[str, Any]:
    """Return the description of what a server offers."""
    paths: dict[str, Any] = {
        "/v1/predict": {"post": _predict(limits)},
        "/v1/classifier": {"get": _plain("Classes, method and edits of the classifier.")},
        "/health": {"get": _plain("Whether it answers.", open_to_all=True)},
        "/metrics": {"get": _plain("Numbers in the text format of Prometheus.")},
        "/openapi.json": {"get": _plain("This description.")},
    }
    if edits:
        paths["/v1/items"] = {"post": _add(limits), "delete": _remove()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "retrieval-bench classifier", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Answer": _ANSWER, "Neighbour": _NEIGHBOUR, "Error": _ERROR},
            **({"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if token else {}),
        },
        **({"security": [{"token": []}]} if token else {}),
    }


def _errors(*statuses: int) -> dict[str, Any]:
    words = {
        400: "The request makes no sense.",
        401: "No token, or a wrong one.",
        403: "Asked for from another site.",
        408: "The body did not arrive in time.",
        413: "Too many bytes, images or pixels.",
        422: "An image or a row cannot be used.",
        429: "Too many in this second; Retry-After says when.",
        503: "Too many are waiting.",
    }
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {str(status): {"description": words[status], "content": content} for status in statuses}


def _plain(summary: str, *, open_to_all: bool = False) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": {"description": "OK"}},
        **({"security": []} if open_to_all else {}),
    }


def _predict(limits: Limits) -> dict[str, Any]:
    image = {"schema": {"type": "string", "format": "binary", "maxLength": limits.request_bytes}}
    several = {
        "type": "object",
        "properties": {
            "images": {"type": "array", "maxItems": limits.images, "items": {"type": "string", "format": "byte"}},
            "features": {"type": "array", "maxItems": limits.images, "items": {"type": "array"}},
            "neighbours": {"type": "integer", "minimum": 0},
            "none_below": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        },
    }
    answers = {
        "type": "object",
        "properties": {"answers": {"type": "array", "items": {"$ref": "#/components/schemas/Answer"}}},
    }
    return {
        "summary": "Say which class each image shows.",
        "requestBody": {
            "required": True,
            "content": {"image/*": image, "application/json": {"schema": several}},
        },
        "responses": {
            "200": {"description": "An answer for each.", "content": {"application/json": {"schema": answers}}},
            **_errors(400, 401, 403, 408, 413, 422, 429, 503),
        },
    }


def _add(limits: Limits) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["labels"],
        "properties": {
            "images": {"type": "array", "maxItems": limits.images, "items": {"type": "string", "format": "byte"}},
            "features": {"type": "array", "maxItems": limits.images, "items": {"type": "array"}},
            "labels": _NAMES,
            "ids": _NAMES,
            "source": {"type": "string"},
        },
    }
    return {
        "summary": "Add items, exactly.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "The classifier after it."}, **_errors(400, 401, 403, 413, 422)},
    }


def _remove() -> dict[str, Any]:
    body = {
        "type": "object",
        "properties": {"ids": _NAMES, "classes": _NAMES, "sources": _NAMES, "forget": {"type": "boolean"}},
    }
    return {
        "summary": "Remove items, classes and sources, exactly; with forget the log keeps no name.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "The classifier after it."}, **_errors(400, 401, 403, 422)},
    }
