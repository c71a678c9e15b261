
-- Put there by django_audit_fields; `manage.py audit_triggers install` undoes a change made here.
-- columns: {columns}
DECLARE
    --? created_by updated_by
    -- Reads NULL until first set and '' once that transaction is over: both mean that nobody is acting.
    actor pg_catalog.text := pg_catalog.current_setting('app.current_user', true);
    label pg_catalog.text;
    is_enforced boolean := false;
    is_stamped boolean := false;
    --.
    journey pg_catalog.text;
    announced pg_catalog.text;
    is_moved boolean := false;
    is_preserving boolean := COALESCE(
        pg_catalog.current_setting('app.audit_preserve', true) OPERATOR(pg_catalog.=) 'on', false);
BEGIN
    -- An UPDATE that moves a row to another partition fires the UPDATE trigger and the DELETE trigger
    -- of the one that it leaves, and next the INSERT trigger of the one that it enters. The first
    -- announces this version of the row, the second passes the word on if that very version leaves,
    -- and the third takes it: an UPDATE that moves nothing and a DELETE of its own vouch for no row.
    -- Each depth has a variable of its own, lest what other triggers do meanwhile comes between.
    -- The word may reach another row: a partition without our INSERT trigger does not take it. So it
    -- holds the whole row, as it comes to the other partition.
    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        journey := {journey};
        announced := {announced};
        PERFORM pg_catalog.set_config(
            journey,
            CASE WHEN pg_catalog.starts_with(pg_catalog.current_setting(journey, true), announced)
            THEN pg_catalog.substr(
                pg_catalog.current_setting(journey, true),
                pg_catalog.length(announced) OPERATOR(pg_catalog.+) 1)
            ELSE '' END,
            true);
        RETURN OLD;
    END IF;

    --? created_by updated_by
    IF actor OPERATOR(pg_catalog.=) '' THEN
        actor := NULL;
    END IF;
    IF actor IS NOT NULL THEN
        label := actor;
        is_enforced := TG_ARGV[2] OPERATOR(pg_catalog.=) 'strict' AND NOT is_preserving;
    ELSIF TG_ARGV[1] OPERATOR(pg_catalog.=) 'session_user' THEN
        label := session_user;
    ELSIF TG_ARGV[1] OPERATOR(pg_catalog.<>) 'refuse' THEN
        label := TG_ARGV[0];
    END IF;

    --.
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        IF pg_catalog.pg_partition_root(TG_RELID) IS NOT NULL THEN
            journey := {journey};
            announced := pg_catalog.current_setting(journey, true);
            IF announced OPERATOR(pg_catalog.<>) '' THEN
                is_moved := pg_catalog.starts_with(announced, {moved});
                PERFORM pg_catalog.set_config(journey, '', true);
                IF is_moved THEN
                    announced := pg_catalog.substr(
                        announced, pg_catalog.length({moved}) OPERATOR(pg_catalog.+) 1);
                    IF announced OPERATOR(pg_catalog.<>) {image} THEN
                        -- The same in another order of columns, or as other people's triggers have
                        -- changed it on its way: none of them changes what identifies a row.
                        is_moved := NOT EXISTS (
                            SELECT FROM pg_catalog.json_each(CAST(announced AS pg_catalog.json)) AS sent
                            JOIN pg_catalog.json_each(pg_catalog.to_json(NEW)) AS arrived
                                ON arrived.key OPERATOR(pg_catalog.=) sent.key
                            WHERE CAST(sent.value AS pg_catalog.text)
                                    OPERATOR(pg_catalog.<>) CAST(arrived.value AS pg_catalog.text)
                                AND (NOT {is_changed_by_others} OR EXISTS (
                                    SELECT FROM pg_catalog.pg_index
                                    JOIN pg_catalog.pg_attribute
                                        ON attrelid OPERATOR(pg_catalog.=) indrelid
                                        AND attnum OPERATOR(pg_catalog.=) ANY (indkey)
                                    WHERE indrelid OPERATOR(pg_catalog.=) TG_RELID AND indisprimary
                                        AND attname OPERATOR(pg_catalog.=) sent.key
                                ))
                        );
                    END IF;
                END IF;
                IF is_moved AND is_preserving THEN
                    RETURN NEW;
                END IF;
            END IF;
        END IF;
        --? created_at
        IF NEW.{created_at} IS NULL AND NOT is_moved THEN
            NEW.{created_at} := pg_catalog.statement_timestamp();
        END IF;
        --.
        --? updated_at
        IF NEW.{updated_at} IS NULL THEN
            NEW.{updated_at} := pg_catalog.statement_timestamp();
            --? created_at
            -- Not COALESCE: a time without a zone would go to another type and another hour.
            IF NEW.{created_at} IS NOT NULL THEN
                NEW.{updated_at} := NEW.{created_at};
            END IF;
            --.
        END IF;
        --.
        --? created_by
        IF NOT is_moved AND (
            is_enforced
            OR NEW.{created_by} IS NULL
            OR NEW.{created_by} {is} '' AND NOT is_preserving
        ) THEN
            NEW.{created_by} := label;
            is_stamped := true;
        END IF;
        --.
        --? updated_by
        IF is_enforced
            OR NEW.{updated_by} IS NULL
            OR NEW.{updated_by} {is} '' AND NOT is_preserving
        THEN
            NEW.{updated_by} := label;
            is_stamped := true;
        END IF;
        --.
    ELSIF is_preserving THEN
        --? created_at
        NEW.{created_at} := COALESCE(NEW.{created_at}, OLD.{created_at});
        --.
        --? updated_at
        NEW.{updated_at} := COALESCE(NEW.{updated_at}, OLD.{updated_at});
        --.
        --? created_by
        NEW.{created_by} := COALESCE(NEW.{created_by}, OLD.{created_by});
        --.
        --? updated_by
        NEW.{updated_by} := COALESCE(NEW.{updated_by}, OLD.{updated_by});
        --.
    ELSE
        --? created_at
        NEW.{created_at} := COALESCE(OLD.{created_at}, NEW.{created_at});
        --.
        --? created_by
        NEW.{created_by} := COALESCE(OLD.{created_by}, NEW.{created_by});
        --.
        --? updated_at
        IF NEW.{updated_at} IS NULL
            OR NEW.{updated_at} OPERATOR(pg_catalog.<=) OLD.{updated_at}
        THEN
            -- Nor GREATEST, for the same reason: compared as the column has it.
            NEW.{updated_at} := pg_catalog.statement_timestamp();
            IF NEW.{updated_at} OPERATOR(pg_catalog.<) OLD.{updated_at} THEN
                NEW.{updated_at} := OLD.{updated_at};
            END IF;
        END IF;
        --.
        --? updated_by
        IF is_enforced
            OR NEW.{updated_by} IS NULL
            OR NEW.{updated_by} {is} ''
            OR NEW.{updated_by} {is} OLD.{updated_by}
        THEN
            NEW.{updated_by} := label;
            is_stamped := true;
        END IF;
        --.
    END IF;
    --? created_by updated_by

    IF is_stamped AND label IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = pg_catalog.format(
                'Nobody is acting, and a row of %I.%I needs somebody.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'SELECT set_config(''app.current_user'', ''<who>'', true), in the same transaction.',
            SCHEMA = TG_TABLE_SCHEMA,
            TABLE = TG_TABLE_NAME;
    END IF;
    --.

    -- Only what the INSERT trigger of another partition would change is announced.
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE'
        AND ({changed_when_moved})
        AND pg_catalog.pg_partition_root(TG_RELID) IS NOT NULL
    THEN
        -- Made a partition after its triggers, a table has none for DELETE to pass the word on.
        PERFORM pg_catalog.set_config(
            {journey},
            pg_catalog.concat(
                CASE WHEN TG_ARGV[{partitioned}] OPERATOR(pg_catalog.=) 'partitioned' THEN {announced} END,
                {moved},
                {image}),
            true);
    END IF;
    RETURN NEW;
END
