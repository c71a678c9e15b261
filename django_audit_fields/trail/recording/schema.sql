CREATE SCHEMA IF NOT EXISTS audit_trail;
REVOKE ALL ON SCHEMA audit_trail FROM PUBLIC;

CREATE TABLE IF NOT EXISTS audit_trail.event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    recorded_at timestamp with time zone NOT NULL,
    action text NOT NULL,
    -- Of the partition root, where there is one.
    table_schema text NOT NULL,
    table_name text NOT NULL,
    -- The key as text; of several columns the JSON array of them, as text.
    row_key text,
    actor text NOT NULL,
    -- What was sent along, as it was sent.
    context jsonb,
    db_role text NOT NULL,
    application_name text,
    client_addr inet,
    transaction_id bigint NOT NULL,
    -- Update: the old values of what changed. Delete: the whole row.
    before jsonb,
    -- Insert, baseline, update: the whole row.
    after jsonb,
    -- No CHECK: PostgreSQL compiles it anew for each INSERT, a fifth of what an event costs. What writes here keeps the
    -- rules by itself: an action is insert, update, delete, truncate or baseline, and each but truncate has a row_key.
    PRIMARY KEY (id, recorded_at)
) PARTITION BY RANGE (recorded_at);
-- Releases before 7 had two.
ALTER TABLE audit_trail.event DROP CONSTRAINT IF EXISTS event_action, DROP CONSTRAINT IF EXISTS event_row_key;
REVOKE ALL ON audit_trail.event FROM PUBLIC;

CREATE INDEX IF NOT EXISTS event_row ON audit_trail.event (table_schema, table_name, row_key, id);
CREATE INDEX IF NOT EXISTS event_actor ON audit_trail.event (actor, recorded_at);
CREATE INDEX IF NOT EXISTS event_time ON audit_trail.event USING brin (recorded_at);
CREATE INDEX IF NOT EXISTS event_transaction ON audit_trail.event USING brin (transaction_id);

-- What is written is never changed: statement triggers, so that a statement that finds no row is refused as well.
CREATE OR REPLACE FUNCTION audit_trail.refuse() RETURNS trigger LANGUAGE plpgsql AS $refuse$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = pg_catalog.format('%s of audit_trail.%I is refused: the trail is only added to.', TG_OP, TG_TABLE_NAME);
END $refuse$;
REVOKE ALL ON FUNCTION audit_trail.refuse() FROM PUBLIC;

-- Of a key of several columns: the JSON array of them, as text; NULL when one of them is not there.
-- Asked for a key of one column where there is nothing in it, it raises.
CREATE OR REPLACE FUNCTION audit_trail.key_of(image jsonb, keys text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $key_of$
BEGIN
    IF NOT image ?& keys THEN
        RETURN NULL;
    END IF;
    IF pg_catalog.cardinality(keys) = 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'not_null_violation',
            MESSAGE = pg_catalog.format('The key %s of a row is NULL: its trail cannot say which row changed.', keys);
    END IF;
    RETURN (SELECT pg_catalog.jsonb_agg(image->key ORDER BY place)
        FROM pg_catalog.unnest(keys) WITH ORDINALITY AS k (key, place));
END $key_of$;
REVOKE ALL ON FUNCTION audit_trail.key_of(jsonb, text[]) FROM PUBLIC;

-- What is masked, as ***; NULL stays null, and what is not there stays out.
CREATE OR REPLACE FUNCTION audit_trail.mask(image jsonb, masked text[]) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $mask$
BEGIN
    RETURN image || coalesce((SELECT pg_catalog.jsonb_object_agg(name, '***')
        FROM pg_catalog.unnest(masked) AS name WHERE image->>name IS NOT NULL), '{}');
END $mask$;
REVOKE ALL ON FUNCTION audit_trail.mask(jsonb, text[]) FROM PUBLIC;
