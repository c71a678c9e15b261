"""The old system's table, with rows from before anybody thought of triggers."""

from __future__ import annotations

from django.db import migrations

CREATE = """
CREATE TABLE legacy_charge (
    charge_code varchar(12) PRIMARY KEY,
    patient_account varchar(20) NOT NULL,
    amount numeric(12, 2) NOT NULL CHECK (amount >= 0),
    entered_on timestamp with time zone,
    entered_by text,
    changed_on timestamp with time zone,
    changed_by text
);
-- The old program kept the first of the four for a while, and nothing at all before that.
INSERT INTO legacy_charge (charge_code, patient_account, amount)
SELECT 'OLD-' || n, 'PA-' || 10000 + n % 160 + 1, 40 + n % 7 * 12.5
FROM generate_series(1, 30) AS n;
INSERT INTO legacy_charge (charge_code, patient_account, amount, entered_on, entered_by)
SELECT 'OLD-' || n, 'PA-' || 10000 + n % 160 + 1, 40 + n % 7 * 12.5,
    timestamptz '2019-03-01 08:00Z' + n * interval '1 day', 'night-batch'
FROM generate_series(31, 60) AS n;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [migrations.RunSQL(sql=CREATE, reverse_sql="DROP TABLE legacy_charge")]
