from __future__ import annotations

from django.urls import path

from . import report, views

urlpatterns = [
    path("", views.LedgerView.as_view(), name="ledger"),
    path("entries/new/", views.EntryCreateView.as_view(), name="entry-new"),
    path("entries/<int:pk>/", views.EntryEditView.as_view(), name="entry-edit"),
    path("entries/<int:pk>/revert/", views.EntryRevertView.as_view(), name="entry-revert"),
    path("charges/", views.ChargesView.as_view(), name="charges"),
    path("charges/<str:pk>/", views.ChargeEditView.as_view(), name="charge-edit"),
    path("report/", report.ReportView.as_view(), name="report"),
    path("report/file/", report.ReportFileView.as_view(), name="report-file"),
]
