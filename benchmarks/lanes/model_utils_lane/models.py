"""django-model-utils: two timestamps on `save`, and nobody's name."""

from model_utils.models import TimeStampedModel

from benchmarks.lane import Business, Lane


class Order(TimeStampedModel, Business):
    pass


class ModelUtilsLane(Lane):
    model = Order
    unseen = frozenset({"bulk_update", "update_queryset"})


lane = ModelUtilsLane()
