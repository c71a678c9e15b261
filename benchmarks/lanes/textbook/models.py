"""What tutorials teach: `pre_save`, a `set_config` query for each save, two unguarded triggers."""

from contextlib import contextmanager

from django.db import connection, models
from django.db.models.signals import pre_save
from django.dispatch import receiver

from benchmarks.lane import Business, Lane

from .current import current

TRIGGERS = """
CREATE OR REPLACE FUNCTION textbook_timestamps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_at := coalesce(NEW.created_at, CURRENT_TIMESTAMP);
    ELSE
        NEW.created_at := OLD.created_at;
    END IF;
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION textbook_users() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    actor text := coalesce(nullif(current_setting('app.current_user', true), ''), 'system');
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.created_by := coalesce(NEW.created_by, actor);
    ELSE
        NEW.created_by := OLD.created_by;
    END IF;
    NEW.updated_by := actor;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER timestamps BEFORE INSERT OR UPDATE ON textbook_order
    FOR EACH ROW EXECUTE FUNCTION textbook_timestamps();
CREATE OR REPLACE TRIGGER users BEFORE INSERT OR UPDATE ON textbook_order
    FOR EACH ROW EXECUTE FUNCTION textbook_users();
"""


class Order(Business):
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.CharField(max_length=50, default=None)
    updated_by = models.CharField(max_length=50, default=None)


def tell_database():
    with connection.cursor() as cursor:
        label = str(current.user.pk)
        cursor.execute("SELECT set_config('app.current_user', %s, false)", [label])
    return label


@receiver(pre_save, sender=Order)
def stamp(sender, instance, **kwargs):
    instance.updated_by = tell_database()
    if instance._state.adding:
        instance.created_by = instance.updated_by


class TextbookLane(Lane):
    model = Order
    stamped_fields = ("updated_at", "updated_by")

    def prepare(self):
        with connection.cursor() as cursor:
            cursor.execute(TRIGGERS)

    @contextmanager
    def acting(self):
        current.user = self.user
        try:
            yield
        finally:
            current.user = None

    def bulk_create(self, orders):
        tell_database()
        super().bulk_create(orders)

    def bulk_update(self, orders):
        tell_database()
        Order.objects.bulk_update(orders, ["amount"])

    def update(self):
        tell_database()
        super().update()


lane = TextbookLane()
