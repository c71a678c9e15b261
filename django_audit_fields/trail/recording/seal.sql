-- Seals: each closes a range of events and is chained to the seal before.
CREATE TABLE IF NOT EXISTS audit_trail.seal (
    number bigint PRIMARY KEY,
    kind text NOT NULL,
    sealed_at timestamp with time zone NOT NULL,
    sealed_by text NOT NULL,
    -- What of this server was over by then. A restore starts anew with '1:1:': nothing.
    snapshot pg_snapshot NOT NULL,
    system_identifier bigint NOT NULL,
    -- The highest id by then.
    last_id bigint NOT NULL,
    -- Up to this id, events came with the last restore from another server.
    boundary bigint NOT NULL,
    events bigint NOT NULL,
    -- {"event_2026": [how many, "digest in hex"]}
    partitions jsonb NOT NULL,
    -- Why something was pruned, and the like.
    detail jsonb NOT NULL,
    previous bytea UNIQUE,
    digest bytea NOT NULL UNIQUE,
    CONSTRAINT seal_kind CHECK (kind IN ('seal', 'restore', 'prune', 'harden', 'soften'))
);
REVOKE ALL ON audit_trail.seal FROM PUBLIC;

-- How many events a range has, and one digest over them, by year. What is digested is text in UTF-8
-- that no setting changes: it is the same on each release of PostgreSQL. Never change it: verifying old seals needs it.
-- A year and not a partition's name, since what had waited in the DEFAULT partition moves to its own.
CREATE OR REPLACE FUNCTION audit_trail.digests(since pg_snapshot, until pg_snapshot, above bigint, upto bigint, fence bigint)
RETURNS jsonb LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $digests$
-- Events with above < id <= upto that are visible in `until`, but for those up to `fence` that were visible in `since`.
DECLARE
    all_of_them bigint := -9223372036854775808;
    since_all bigint := CASE WHEN since::text = '1:1:' THEN all_of_them ELSE pg_snapshot_xmin(since)::text::bigint END;
    since_none bigint := CASE WHEN since::text = '1:1:' THEN all_of_them ELSE pg_snapshot_xmax(since)::text::bigint END;
    until_all bigint := pg_snapshot_xmin(until)::text::bigint;
    until_none bigint := pg_snapshot_xmax(until)::text::bigint;
    lowest bigint := CASE WHEN fence < upto THEN all_of_them ELSE since_all END;
BEGIN
    RETURN (
        SELECT coalesce(jsonb_object_agg('event_' || year, jsonb_build_array(events, encode(digest, 'hex'))), '{}')
        FROM (
            -- Blocks, since a bytea holds at most 1 GB: 33 million digests.
            SELECT year, sum(events) AS events, sha256(string_agg(digest, ''::bytea ORDER BY block)) AS digest
            FROM (
                SELECT
                    -- A forged 'infinity' has no year, and is to be found like others.
                    CASE WHEN isfinite(recorded_at) THEN extract(year FROM recorded_at AT TIME ZONE 'UTC')::int ELSE 0 END AS year,
                    id >> 20 AS block,
                    count(*) AS events,
                    sha256(string_agg(sha256(convert_to(jsonb_build_array(
                        id, extract(epoch FROM recorded_at), action, table_schema, table_name, row_key, actor, context,
                        db_role, application_name, client_addr::text, transaction_id, before, after
                    )::text, 'UTF8')), ''::bytea ORDER BY id, recorded_at)) AS digest
                FROM audit_trail.event
                -- By transactions, for which there is an index; ids only say which server's transactions.
                WHERE transaction_id >= lowest AND transaction_id < until_none
                    AND (above = 0 OR id > above) AND (upto = 9223372036854775807 OR id <= upto)
                    AND (transaction_id < until_all OR pg_visible_in_snapshot(transaction_id::text::xid8, until))
                    AND (id > fence OR transaction_id >= since_none
                        OR (transaction_id >= since_all AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, since)))
                GROUP BY 1, 2
            ) AS blocks
            GROUP BY year
        ) AS years
    );
END $digests$;

-- The digest of a seal: of all its columns, the digest of the seal before among them.
CREATE OR REPLACE FUNCTION audit_trail.seal_digest(one audit_trail.seal)
RETURNS bytea LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $seal_digest$
BEGIN
    RETURN sha256(convert_to(jsonb_build_array(
        one.number, one.kind, extract(epoch FROM one.sealed_at), one.sealed_by, one.snapshot::text, one.system_identifier,
        one.last_id, one.boundary, one.events, one.partitions, one.detail, encode(one.previous, 'hex')
    )::text, 'UTF8'));
END $seal_digest$;

-- Adds one seal to the chain: 'seal' becomes 'restore' where the events came from another server.
CREATE OR REPLACE FUNCTION audit_trail.chain(kind text, detail jsonb)
RETURNS audit_trail.seal LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $chain$
DECLARE
    last audit_trail.seal;
    new audit_trail.seal;
    highest bigint := 9223372036854775807;
BEGIN
    -- The transaction's own events would count as over, and those that it goes on to write would break the seal.
    IF kind = 'seal' AND pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'active_sql_transaction',
            MESSAGE = 'A seal comes first in its transaction, before anything is written.',
            HINT = 'Call audit_trail.seal() in a transaction of its own.';
    ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
        -- The snapshot may be older than the last seal, which another transaction has made meanwhile.
        RAISE EXCEPTION USING
            ERRCODE = 'active_sql_transaction',
            MESSAGE = 'A seal is made in a transaction that is READ COMMITTED.';
    END IF;
    LOCK TABLE audit_trail.seal IN SHARE ROW EXCLUSIVE MODE;  -- one after the other; readers go on
    SELECT * INTO last FROM audit_trail.seal ORDER BY number DESC LIMIT 1;
    new.number := coalesce(last.number, 0) + 1;
    new.kind := kind;
    new.detail := detail;
    new.sealed_at := clock_timestamp();
    new.sealed_by := session_user;
    new.system_identifier := (SELECT system_identifier FROM pg_control_system());
    new.snapshot := coalesce(last.snapshot, '1:1:');
    new.last_id := coalesce(last.last_id, 0);
    new.boundary := coalesce(last.boundary, 0);
    new.partitions := '{}';
    IF kind = 'seal' THEN
        IF last.system_identifier <> new.system_identifier
            OR pg_snapshot_xmax(last.snapshot) > pg_snapshot_xmax(pg_current_snapshot())
            OR last.number IS NULL AND EXISTS (
                SELECT FROM audit_trail.event
                WHERE transaction_id >= (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)
            )
        THEN
            -- Numbers of transactions start anew: all that is there is closed by its ids. No writer may be under way.
            LOCK TABLE audit_trail.event IN SHARE ROW EXCLUSIVE MODE;
            new.kind := 'restore';
            new.detail := jsonb_build_object('server', last.system_identifier);
            new.boundary := greatest(new.last_id, (SELECT max(id) FROM audit_trail.event));
            new.partitions := audit_trail.digests(
                new.snapshot, '9223372036854775807:9223372036854775807:', coalesce(last.boundary, 0), new.boundary, new.last_id
            );
            new.snapshot := '1:1:';
            new.last_id := new.boundary;
        ELSE
            new.snapshot := pg_current_snapshot();
            new.partitions := audit_trail.digests(
                coalesce(last.snapshot, '1:1:'), new.snapshot, new.boundary, highest, highest
            );
            new.last_id := greatest(new.last_id, (SELECT max(id) FROM audit_trail.event));
        END IF;
    ELSIF last.system_identifier <> new.system_identifier THEN
        RAISE EXCEPTION USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = 'The trail was restored from another server and is not sealed since.',
            HINT = 'Run `manage.py audit_trail seal` first.';
    END IF;
    new.events := (SELECT coalesce(sum((value->>0)::bigint), 0) FROM jsonb_each(new.partitions));
    new.previous := last.digest;
    new.digest := audit_trail.seal_digest(new);
    INSERT INTO audit_trail.seal SELECT new.*;
    IF kind = 'seal' THEN
        -- Else each later look at this range reads all that came since the last VACUUM.
        PERFORM brin_summarize_new_values(inhrelid) FROM pg_inherits WHERE inhparent = 'audit_trail.event_transaction'::regclass;
    END IF;
    RETURN new;
END $chain$;

-- Closes the range of events that became visible since the last seal. Writers do not wait for it.
CREATE OR REPLACE FUNCTION audit_trail.seal()
RETURNS audit_trail.seal LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $seal$
    SELECT audit_trail.chain('seal', '{}')
$seal$;

-- What is wrong with one seal and its events.
CREATE OR REPLACE FUNCTION audit_trail.problems(of_number bigint)
RETURNS SETOF text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $problems$
DECLARE
    one audit_trail.seal;
    before audit_trail.seal;
    after audit_trail.seal;
    expected jsonb;
    present jsonb;
    pruned text[];
    name text;
    counted text[];
    highest bigint := 9223372036854775807;
BEGIN
    SELECT * INTO STRICT one FROM audit_trail.seal WHERE number = of_number;
    SELECT * INTO before FROM audit_trail.seal WHERE number < of_number ORDER BY number DESC LIMIT 1;
    IF one.number <> coalesce(before.number, 0) + 1 THEN
        RETURN NEXT format('the seals from %s to %s are missing', coalesce(before.number, 0) + 1, one.number - 1);
        RETURN;  -- whose events are whose cannot be told
    ELSIF one.previous IS DISTINCT FROM before.digest THEN
        RETURN NEXT 'it does not follow the seal before it';
    END IF;
    IF one.digest <> audit_trail.seal_digest(one) THEN
        RETURN NEXT 'the seal itself was altered';
        RETURN;
    END IF;
    IF one.kind NOT IN ('seal', 'restore') THEN
        RETURN;
    ELSIF one.kind = 'restore' THEN
        present := audit_trail.digests(
            coalesce(before.snapshot, '1:1:'), '9223372036854775807:9223372036854775807:',
            coalesce(before.boundary, 0), one.boundary, coalesce(before.last_id, 0)
        );
    ELSE
        -- The last seal of the server that made this one: what has a higher id was written on another.
        SELECT * INTO after FROM audit_trail.seal
        WHERE number > of_number AND kind = 'restore' ORDER BY number LIMIT 1;
        SELECT * INTO after FROM audit_trail.seal
        WHERE number < coalesce(after.number, highest) ORDER BY number DESC LIMIT 1;
        IF after.number = (SELECT max(number) FROM audit_trail.seal)
            AND after.system_identifier = (SELECT system_identifier FROM pg_control_system())
        THEN
            after.last_id := highest;
        END IF;
        present := audit_trail.digests(
            coalesce(before.snapshot, '1:1:'), one.snapshot, one.boundary, after.last_id, highest
        );
    END IF;
    SELECT coalesce(array_agg(dropped), '{}') INTO pruned
    FROM audit_trail.seal AS later, jsonb_object_keys(later.detail->'dropped') AS dropped
    WHERE later.number > of_number AND later.kind = 'prune' AND jsonb_typeof(later.detail->'dropped') = 'object';
    expected := one.partitions - pruned;
    FOR name IN SELECT jsonb_object_keys(expected || present) AS part ORDER BY part LOOP
        counted := ARRAY[coalesce(present->name->>0, '0'), coalesce(expected->name->>0, '0')];
        IF expected->name = present->name THEN
            CONTINUE;
        ELSIF to_regclass('audit_trail.' || name) IS NULL AND counted[1] = '0' THEN
            RETURN NEXT format('%s is gone, with %s events', name, counted[2]);
        ELSIF counted[1]::bigint < counted[2]::bigint THEN
            RETURN NEXT format('%s of %s events are left in %s: some were deleted', counted[1], counted[2], name);
        ELSIF counted[1]::bigint > counted[2]::bigint THEN
            RETURN NEXT format('%s events are in %s where %s were sealed: some were inserted', counted[1], name, counted[2]);
        ELSE
            RETURN NEXT format('events in %s were altered (%s were sealed)', name, counted[2]);
        END IF;
    END LOOP;
END $problems$;

-- All that is wrong, by seal; nothing when all is as it was sealed.
CREATE OR REPLACE FUNCTION audit_trail.verify()
RETURNS TABLE (seal bigint, problem text) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $verify$
    SELECT number, found FROM audit_trail.seal, audit_trail.problems(number) AS found ORDER BY number
$verify$;

-- Drops the partitions of the years before; nothing else ever deletes events. Only the owner may.
CREATE OR REPLACE FUNCTION audit_trail.prune(before date, reason text)
RETURNS audit_trail.seal LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $prune$
DECLARE
    last audit_trail.seal;
    name text;
    unsealed bool;
    events bigint;
    dropped jsonb := '{}';
BEGIN
    IF coalesce(reason, '') !~ '\S' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'To prune the trail needs a reason.';
    END IF;
    -- In the order of a seal, so that the two never wait for one another. Writers wait until the partitions are gone.
    LOCK TABLE audit_trail.seal IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE audit_trail.event IN ACCESS EXCLUSIVE MODE;
    SELECT * INTO last FROM audit_trail.seal ORDER BY number DESC LIMIT 1;
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'audit_trail.event'::regclass AND relname ~ '^event_\d{4}$'
            AND right(relname, 4)::int < extract(year FROM before)
        ORDER BY relname
    LOOP
        EXECUTE format('
            SELECT count(*), coalesce(bool_or(id > $1 AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, $2)), false)
            FROM audit_trail.%I', name)
        INTO events, unsealed USING coalesce(last.boundary, 0), coalesce(last.snapshot, '1:1:');
        IF unsealed THEN
            RAISE EXCEPTION USING
                ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('audit_trail.%I has events that are not sealed.', name),
                HINT = 'Run `manage.py audit_trail seal` first.';
        END IF;
        EXECUTE format('DROP TABLE audit_trail.%I', name);
        dropped := dropped || jsonb_build_object(name, events);
    END LOOP;
    IF dropped = '{}' THEN
        RETURN NULL;
    END IF;
    RETURN audit_trail.chain('prune', jsonb_build_object('before', before, 'reason', reason, 'dropped', dropped));
END $prune$;

REVOKE ALL ON FUNCTION audit_trail.digests(pg_snapshot, pg_snapshot, bigint, bigint, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.seal_digest(audit_trail.seal) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.chain(text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.seal() FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.problems(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.verify() FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_trail.prune(date, text) FROM PUBLIC;
