"""Keeps the request's user where the receiver finds it."""

from .current import current


class CurrentUserMiddleware:
    async_capable = False

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        current.user = request.user
        try:
            return self.get_response(request)
        finally:
            current.user = None
