-- The same events as record() writes, for all rows of a statement at once: level="statement". The same arguments.
CREATE OR REPLACE FUNCTION audit_trail.record_statement() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
SET bytea_output = 'hex' SET extra_float_digits = 1
-- One plan for few and for many rows. Else a statement of one row may be planned anew each time, or pay for machine code
-- that was found worth it for many.
SET plan_cache_mode = force_generic_plan SET jit = off
AS $record$
DECLARE
    keys text[] := TG_ARGV[0];
    hidden text[] := TG_ARGV[1];
    masked text[] := TG_ARGV[2];
    needs_reason bool := TG_ARGV[3] = 'reason';
    nobody text := TG_ARGV[4];
    acting text := nullif(current_setting('app.current_user', true), '');
    who text := coalesce(acting, CASE nobody WHEN 'session_user' THEN session_user::text ELSE TG_ARGV[5] END);
    sent text := nullif(current_setting('app.audit_context', true), '');
    told jsonb;
    role text := session_user;
    application text := current_setting('application_name');
    address inet := inet_client_addr();
    xid bigint;
    has_key bool;
    recorded bigint;
BEGIN
    -- Always `r.*`, in a query that names nothing else: a table may have a column that is called r, or keys.
    IF TG_OP = 'DELETE' THEN
        has_key := (SELECT image ?& keys FROM (SELECT to_jsonb(r.*) AS image FROM old_rows r LIMIT 1) AS first_row);
    ELSE
        has_key := (SELECT image ?& keys FROM (SELECT to_jsonb(r.*) AS image FROM new_rows r LIMIT 1) AS first_row);
    END IF;
    IF has_key IS NULL THEN
        RETURN NULL;  -- no rows
    END IF;
    IF NOT has_key THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = format('%I.%I has no key %s any more: its trail cannot say which row changed.', TG_TABLE_SCHEMA, TG_TABLE_NAME, keys),
            HINT = 'Run makemigrations and migrate, which give the trail the key that the table has now.';
    END IF;
    IF sent IS NOT NULL THEN
        BEGIN
            told := sent;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;
    xid := pg_current_xact_id()::text::bigint;  -- not before: a statement that finds no row takes no number

    -- A statement for each, since a transition table that is not there cannot be named.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit_trail.event (
            recorded_at, action, table_schema, table_name, row_key, actor, context,
            db_role, application_name, client_addr, transaction_id, after
        )
        SELECT clock_timestamp(), 'insert', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            coalesce(CASE WHEN cardinality(keys) = 1 THEN image->>keys[1] END, audit_trail.key_of(image, keys)),
            who, told, role, application, address, xid,
            CASE WHEN masked = '{}' THEN image - hidden ELSE audit_trail.mask(image - hidden, masked) END
        FROM (SELECT to_jsonb(r.*) AS image FROM new_rows r OFFSET 0) AS images;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO audit_trail.event (
            recorded_at, action, table_schema, table_name, row_key, actor, context,
            db_role, application_name, client_addr, transaction_id, before
        )
        SELECT clock_timestamp(), 'delete', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            coalesce(CASE WHEN cardinality(keys) = 1 THEN image->>keys[1] END, audit_trail.key_of(image, keys)),
            who, told, role, application, address, xid,
            CASE WHEN masked = '{}' THEN image - hidden ELSE audit_trail.mask(image - hidden, masked) END
        FROM (SELECT to_jsonb(r.*) AS image FROM old_rows r OFFSET 0) AS images;
    ELSE
        INSERT INTO audit_trail.event (
            recorded_at, action, table_schema, table_name, row_key, actor, context,
            db_role, application_name, client_addr, transaction_id, before, after
        )
        SELECT clock_timestamp(), action, TG_TABLE_SCHEMA, TG_TABLE_NAME, row_key, who, told,
            role, application, address, xid,
            CASE WHEN masked = '{}' THEN past ELSE audit_trail.mask(past, masked) END,
            CASE WHEN masked = '{}' THEN image ELSE audit_trail.mask(image, masked) END
        FROM (
            -- A key that changes is a delete of the old one and an insert of the new one.
            SELECT coalesce(o.key, n.key) AS row_key,
                CASE WHEN n.key IS NULL THEN 'delete' WHEN o.key IS NULL THEN 'insert' ELSE 'update' END AS action,
                CASE WHEN n.key IS NULL THEN o.image ELSE o.image - ARRAY(
                    SELECT name FROM (SELECT jsonb_object_keys(o.image) AS name) AS names
                    WHERE (o.image->name)::text = (n.image->name)::text
                ) END - hidden AS past,
                n.image - hidden AS image
            -- A FULL JOIN is hashed or merged. Any other join on the key may become a nested loop, once the
            -- connection has made some updates of one row and the plan made for those is kept.
            FROM (
                SELECT image, coalesce(CASE WHEN cardinality(keys) = 1 THEN image->>keys[1] END, audit_trail.key_of(image, keys)) AS key
                FROM (SELECT to_jsonb(r.*) AS image FROM old_rows r OFFSET 0) AS old_images OFFSET 0
            ) AS o FULL JOIN (
                SELECT image, coalesce(CASE WHEN cardinality(keys) = 1 THEN image->>keys[1] END, audit_trail.key_of(image, keys)) AS key
                FROM (SELECT to_jsonb(r.*) AS image FROM new_rows r OFFSET 0) AS new_images OFFSET 0
            ) AS n ON o.key = n.key
            OFFSET 0
        ) AS changed
        WHERE action <> 'update' OR past <> '{}';
    END IF;

    GET DIAGNOSTICS recorded = ROW_COUNT;
    IF recorded = 0 THEN
        RETURN NULL;  -- nothing changed, and what changes nothing needs nobody and no reason
    END IF;
    IF acting IS NULL AND nobody = 'refuse' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = format('Nobody is acting, and a change of %I.%I needs somebody.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'SELECT set_config(''app.current_user'', ''<who>'', true), in the same transaction.';
    END IF;
    IF sent IS NOT NULL AND jsonb_typeof(told) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('app.audit_context holds no JSON object: %s', left(sent, 100)),
            HINT = 'Set it to a JSON object such as {"reason": "…"}, or to an empty text.';
    END IF;
    IF needs_reason AND coalesce(told->>'reason', '') !~ '\S' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = format('A change of %I.%I needs a reason.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'Make it inside `with audit_context(reason=…)`; in SQL, SELECT set_config(''app.audit_context'', ''{"reason": "…"}'', true), in the same transaction.';
    END IF;
    RETURN NULL;
END $record$;
REVOKE ALL ON FUNCTION audit_trail.record_statement() FROM PUBLIC;
