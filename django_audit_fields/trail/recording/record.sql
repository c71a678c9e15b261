-- One event for a change of one row, or for a TRUNCATE. One function for all tables.
CREATE OR REPLACE FUNCTION audit_trail.record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
-- The same images, whatever the session has set.
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
SET bytea_output = 'hex' SET extra_float_digits = 1
AS $record$
DECLARE
    keys text[] := TG_ARGV[0];
    hidden text[] := TG_ARGV[1];
    masked text[] := TG_ARGV[2];
    needs_reason bool := TG_ARGV[3] = 'reason' AND TG_OP <> 'TRUNCATE';
    nobody text := TG_ARGV[4];
    -- NULL where there is no such row: an INSERT has none before, a DELETE none after, a TRUNCATE neither.
    past jsonb := to_jsonb(OLD);
    image jsonb := to_jsonb(NEW);
    past_key text := CASE WHEN cardinality(keys) = 1 THEN past->>keys[1] ELSE audit_trail.key_of(past, keys) END;
    image_key text := CASE WHEN cardinality(keys) = 1 THEN image->>keys[1] ELSE audit_trail.key_of(image, keys) END;
    acting text := nullif(current_setting('app.current_user', true), '');
    who text := coalesce(acting, CASE nobody WHEN 'session_user' THEN session_user::text ELSE TG_ARGV[5] END);
    sent text := nullif(current_setting('app.audit_context', true), '');
    told jsonb;
    home_schema name := TG_TABLE_SCHEMA;
    home_table name := TG_TABLE_NAME;
    action text := lower(TG_OP);
BEGIN
    IF coalesce(image_key, past_key) IS NULL AND TG_OP <> 'TRUNCATE' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'undefined_column',
            MESSAGE = format('%I.%I has no key %s any more: its trail cannot say which row changed.', TG_TABLE_SCHEMA, TG_TABLE_NAME, keys),
            HINT = 'Run makemigrations and migrate, which give the trail the key that the table has now.';
    END IF;
    IF hidden <> '{}' THEN
        past := past - hidden;
        image := image - hidden;
    END IF;
    IF past_key = image_key THEN
        -- As text: 1.0 and 1.00 are equal in jsonb, and are not the same.
        past := past - ARRAY(
            SELECT name FROM (SELECT jsonb_object_keys(past) AS name) AS names
            WHERE (past->name)::text = (image->name)::text
        );
        IF past = '{}' THEN
            RETURN NULL;  -- nothing changed
        END IF;
    END IF;

    IF acting IS NULL AND nobody = 'refuse' AND TG_OP <> 'TRUNCATE' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = format('Nobody is acting, and a change of %I.%I needs somebody.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'SELECT set_config(''app.current_user'', ''<who>'', true), in the same transaction.';
    END IF;
    IF sent IS NOT NULL THEN
        BEGIN
            told := sent;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
        IF jsonb_typeof(told) IS DISTINCT FROM 'object' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('app.audit_context holds no JSON object: %s', left(sent, 100)),
                HINT = 'Set it to a JSON object such as {"reason": "…"}, or to an empty text.';
        END IF;
    END IF;
    IF needs_reason AND coalesce(told->>'reason', '') !~ '\S' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = format('A change of %I.%I needs a reason.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'Make it inside `with audit_context(reason=…)`; in SQL, SELECT set_config(''app.audit_context'', ''{"reason": "…"}'', true), in the same transaction.';
    END IF;

    IF masked <> '{}' THEN
        past := audit_trail.mask(past, masked);
        image := audit_trail.mask(image, masked);
    END IF;
    IF pg_partition_root(TG_RELID) <> TG_RELID THEN
        SELECT nspname, relname INTO STRICT home_schema, home_table
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE pg_class.oid = pg_partition_root(TG_RELID);
        IF TG_OP = 'TRUNCATE' THEN  -- the rows of one partition are gone, and not all
            past := jsonb_build_object('partition', format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME));
        END IF;
    END IF;
    IF past_key <> image_key THEN  -- another key is another row
        INSERT INTO audit_trail.event (
            recorded_at, action, table_schema, table_name, row_key, actor, context,
            db_role, application_name, client_addr, transaction_id, before, after
        ) VALUES (
            clock_timestamp(), 'delete', home_schema, home_table, past_key, who, told,
            session_user, current_setting('application_name'), inet_client_addr(),
            pg_current_xact_id()::text::bigint, past, NULL
        );
        action := 'insert';
        past := NULL;
    END IF;
    INSERT INTO audit_trail.event (
        recorded_at, action, table_schema, table_name, row_key, actor, context,
        db_role, application_name, client_addr, transaction_id, before, after
    ) VALUES (
        clock_timestamp(), action, home_schema, home_table, coalesce(image_key, past_key), who, told,
        session_user, current_setting('application_name'), inet_client_addr(),
        pg_current_xact_id()::text::bigint, past, image
    );
    RETURN NULL;
END $record$;
REVOKE ALL ON FUNCTION audit_trail.record() FROM PUBLIC;
