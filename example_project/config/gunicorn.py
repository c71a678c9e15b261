"""How gunicorn serves the example: a few threads in each of two processes."""

workers = 2
threads = 4
worker_class = "gthread"
graceful_timeout = 5
# Otherwise recent versions leave a socket in the home folder.
control_socket_disable = True
