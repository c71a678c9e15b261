
-- Put there by django_audit_fields; `manage.py audit_triggers install` undoes a change made here.
-- columns: {columns}
--? created_at
-- created_at: INSERT fills it in where it is NULL; an UPDATE never changes it.
--.
--? created_by
-- created_by: INSERT fills in who is acting where it is NULL or empty; an UPDATE never changes it.
--.
--? updated_at
-- updated_at: INSERT fills it in where it is NULL; an UPDATE that does not move it forward sets the time of the statement.
--.
--? updated_by
-- updated_by: INSERT fills in who is acting where it is NULL or empty; so does an UPDATE that does not change it.
--.
-- With app.audit_preserve = 'on' all are stored as given, and only NULL is filled in.
DECLARE
    --? created_by updated_by
    -- The variable reads NULL until first set and '' once that transaction is over: both mean that nobody is acting.
    -- Arguments: the fallback; what nobody is stamped with; whether who is acting wins over any other name.
    label pg_catalog.text := CASE WHEN {is_acting} THEN pg_catalog.current_setting('app.current_user', true)
        WHEN TG_ARGV[1] OPERATOR(pg_catalog.=) 'session_user' THEN session_user
        WHEN TG_ARGV[1] OPERATOR(pg_catalog.<>) 'refuse' THEN TG_ARGV[0] END;
    --.
    is_preserving boolean := pg_catalog.current_setting('app.audit_preserve', true) OPERATOR(pg_catalog.=) 'on';
    --? partitions
    -- What an UPDATE leaves to the INSERT that PostgreSQL makes of it when the row goes to another partition. Each
    -- depth has a variable of its own, lest what other triggers do meanwhile comes between.
    variable pg_catalog.text := pg_catalog.concat('app.audit_moved_', pg_catalog.pg_trigger_depth());
    is_moved boolean := false;
    --.
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
        IF is_preserving THEN
            --? created_at
            NEW.{created_at} := COALESCE(NEW.{created_at}, OLD.{created_at});
            --.
            --? created_by
            NEW.{created_by} := COALESCE(NEW.{created_by}, OLD.{created_by});
            --.
            --? updated_at
            NEW.{updated_at} := COALESCE(NEW.{updated_at}, OLD.{updated_at});
            --.
            --? updated_by
            NEW.{updated_by} := COALESCE(NEW.{updated_by}, OLD.{updated_by});
            --.
        ELSE
            --? created_at created_by
            IF ({created_is_same}) IS NOT TRUE THEN
                --? created_at
                NEW.{created_at} := COALESCE(OLD.{created_at}, NEW.{created_at});
                --.
                --? created_by
                NEW.{created_by} := COALESCE(OLD.{created_by}, NEW.{created_by});
                --.
            END IF;
            --.
            --? updated_at
            IF NEW.{updated_at} IS NULL OR NEW.{updated_at} OPERATOR(pg_catalog.<=) OLD.{updated_at} THEN
                NEW.{updated_at} := pg_catalog.statement_timestamp();
                IF NEW.{updated_at} OPERATOR(pg_catalog.<) OLD.{updated_at} THEN
                    NEW.{updated_at} := OLD.{updated_at};
                END IF;
            END IF;
            --.
            --? updated_by
            IF NEW.{updated_by} {is} OLD.{updated_by} OR NEW.{updated_by} IS NULL OR NEW.{updated_by} {is} ''
                OR TG_ARGV[2] OPERATOR(pg_catalog.=) 'strict' AND {is_acting} THEN
                NEW.{updated_by} := label;
            END IF;
            --.
        END IF;
        --? partitions
        PERFORM pg_catalog.set_config(variable, {moved}, true);
        --.
    ELSE
        --? partitions
        is_moved := pg_catalog.current_setting(variable, true) OPERATOR(pg_catalog.=) {moved};
        IF is_moved THEN
            PERFORM pg_catalog.set_config(variable, '', true);
            IF is_preserving THEN
                RETURN NEW;
            END IF;
        END IF;
        --.
        --? created_at
        IF NEW.{created_at} IS NULL{unless_moved} THEN
            NEW.{created_at} := pg_catalog.statement_timestamp();
        END IF;
        --.
        --? updated_at
        IF NEW.{updated_at} IS NULL THEN
            NEW.{updated_at} := {created_or_now};
        END IF;
        --.
        --? created_by
        IF (NEW.{created_by} IS NULL OR is_preserving IS NOT TRUE AND (
                NEW.{created_by} {is} '' OR TG_ARGV[2] OPERATOR(pg_catalog.=) 'strict' AND {is_acting})){unless_moved} THEN
            NEW.{created_by} := label;
        END IF;
        --.
        --? updated_by
        IF NEW.{updated_by} IS NULL OR is_preserving IS NOT TRUE AND (
                NEW.{updated_by} {is} '' OR TG_ARGV[2] OPERATOR(pg_catalog.=) 'strict' AND {is_acting}) THEN
            NEW.{updated_by} := label;
        END IF;
        --.
    END IF;
    --? created_by updated_by
    IF label IS NULL AND ({is_unnamed}) THEN
        RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
            MESSAGE = pg_catalog.format('Nobody is acting, and a row of %I.%I needs somebody.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'SELECT set_config(''app.current_user'', ''<who>'', true), in the same transaction.';
    END IF;
    --.
    RETURN NEW;
END
