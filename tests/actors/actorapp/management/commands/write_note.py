from django.core.management import BaseCommand, CommandError

from django_audit_fields.actors import context_text
from django_audit_fields.contrib.commands import ActorCommandMixin
from tests.actors.actorapp.models import Note


class Command(ActorCommandMixin, BaseCommand):
    help = "Writes a note in its own name."

    def add_arguments(self, parser):
        parser.add_argument("--fail", action="store_true")
        parser.add_argument("--tell", action="store_true")

    def handle(self, *args, **options):
        Note.objects.create(text=context_text() if options["tell"] else "command")
        if options["fail"]:
            raise CommandError("as asked")
