"""One address each for WSGI and ASGI: a request that saves a row."""

from itertools import count

from django.http import HttpResponse
from django.urls import path

from benchmarks.worker import lane_of_this_process

numbers = count()


def save(request):
    assert request.user.is_authenticated  # as most views that write ask
    lane_of_this_process().build_in_request(request, next(numbers)).save()
    return HttpResponse("saved")


async def asave(request):
    request.user = await request.auser()
    assert request.user.is_authenticated
    await lane_of_this_process().build_in_request(request, next(numbers)).asave()
    return HttpResponse("saved")


urlpatterns = [path("save/", save), path("asave/", asave)]
