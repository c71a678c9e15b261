"""Who is acting."""

import threading

# As tutorials have it. (In a ContextVar the request's lazy user would be loaded by asgiref, on the
# event loop, where that fails.)
current = threading.local()
