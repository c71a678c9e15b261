from django.tasks.backends.immediate import ImmediateBackend

from django_audit_fields.contrib.tasks import ActorBackendMixin


class Backend(ActorBackendMixin, ImmediateBackend):
    pass
