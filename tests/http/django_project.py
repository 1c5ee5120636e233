"""A project of Django, in one file."""

from __future__ import annotations

import json

import django  # type: ignore[import-untyped]  # django has no types
from django.conf import settings  # type: ignore[import-untyped]  # django has no types
from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-untyped]  # django has no types
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse  # type: ignore[import-untyped]  # django has no types
from django.urls import path  # type: ignore[import-untyped]  # django has no types

__all__ = ["application"]


def hello(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(f"hello {name}, {request.GET['x']}")


def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse(json.dumps(request.POST.dict()))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{number};" for number in range(3))


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(open(request.META["QUERY_STRING"], "rb"))


def where(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.build_absolute_uri())


def fails(request: HttpRequest) -> HttpResponse:
    raise LookupError("on purpose")


urlpatterns = [
    path("hello/<name>", hello),
    path("form", form),
    path("stream", stream),
    path("file", file),
    path("where", where),
    path("fails", fails),
]

settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="for tests", LOGGING_CONFIG=None)
django.setup(set_prefix=False)
application = WSGIHandler()
