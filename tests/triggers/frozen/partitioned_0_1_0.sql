-- What release 0.1.0 installs on a partitioned table and on a partition; never edited.
CREATE TABLE frozen_parted (id bigint, region text, created_at timestamptz, updated_at timestamptz, created_by varchar(50), updated_by varchar(50)) PARTITION BY LIST (region);
CREATE TABLE frozen_parted_north PARTITION OF frozen_parted FOR VALUES IN ('north');
CREATE TABLE frozen_parted_south PARTITION OF frozen_parted FOR VALUES IN ('south');
CREATE TABLE frozen_times (id bigint, updated_at timestamptz) PARTITION BY LIST (id);
CREATE TABLE frozen_times_1 PARTITION OF frozen_times FOR VALUES IN (1);
DO $audit$
DECLARE
    audited regclass := to_regclass('frozen_parted');
    home text;
    body text := $function$
-- Put there by django_audit_fields; `manage.py audit_triggers install` undoes a change made here.
-- columns: {"created_at": "created_at", "updated_at": "updated_at", "created_by": "created_by", "updated_by": "updated_by"}
DECLARE
    -- Reads NULL until first set and '' once that transaction is over: both mean that nobody is acting.
    actor pg_catalog.text := pg_catalog.current_setting('app.current_user', true);
    label pg_catalog.text;
    is_enforced boolean := false;
    is_stamped boolean := false;
    is_moved boolean := false;
    is_preserving boolean := COALESCE(
        pg_catalog.current_setting('app.audit_preserve', true) OPERATOR(pg_catalog.=) 'on', false);
BEGIN
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

    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        -- An UPDATE that moves a row to another partition inserts it there; it creates nothing.
        IF pg_catalog.pg_partition_root(TG_RELID) IS NOT NULL THEN
            is_moved := COALESCE(
                pg_catalog.current_setting('app.audit_moved', true) OPERATOR(pg_catalog.=)
                CAST(pg_catalog.jsonb_build_array(
                    CAST(pg_catalog.pg_partition_root(TG_RELID) AS pg_catalog.oid),
                    pg_catalog.statement_timestamp(),
                    NEW."created_at", NEW."created_by"
                ) AS pg_catalog.text),
                false);
            IF is_moved THEN
                PERFORM pg_catalog.set_config('app.audit_moved', '', true);
            END IF;
        END IF;
        IF NEW."created_at" IS NULL AND NOT is_moved THEN
            NEW."created_at" := pg_catalog.statement_timestamp();
        END IF;
        IF NEW."updated_at" IS NULL THEN
            NEW."updated_at" := COALESCE(NEW."created_at", pg_catalog.statement_timestamp());
        END IF;
        IF NOT is_moved AND (
            is_enforced
            OR NEW."created_by" IS NULL
            OR NEW."created_by" OPERATOR(pg_catalog.=) '' AND NOT is_preserving
        ) THEN
            NEW."created_by" := label;
            is_stamped := true;
        END IF;
        IF is_enforced
            OR NEW."updated_by" IS NULL
            OR NEW."updated_by" OPERATOR(pg_catalog.=) '' AND NOT is_preserving
        THEN
            NEW."updated_by" := label;
            is_stamped := true;
        END IF;
    ELSIF is_preserving THEN
        NEW."created_at" := COALESCE(NEW."created_at", OLD."created_at");
        NEW."updated_at" := COALESCE(NEW."updated_at", OLD."updated_at");
        NEW."created_by" := COALESCE(NEW."created_by", OLD."created_by");
        NEW."updated_by" := COALESCE(NEW."updated_by", OLD."updated_by");
    ELSE
        NEW."created_at" := COALESCE(OLD."created_at", NEW."created_at");
        NEW."created_by" := COALESCE(OLD."created_by", NEW."created_by");
        IF NEW."updated_at" IS NULL
            OR NEW."updated_at" OPERATOR(pg_catalog.<=) OLD."updated_at"
        THEN
            NEW."updated_at" := GREATEST(pg_catalog.statement_timestamp(), OLD."updated_at");
        END IF;
        IF is_enforced
            OR NEW."updated_by" IS NULL
            OR NEW."updated_by" OPERATOR(pg_catalog.=) ''
            OR NEW."updated_by" OPERATOR(pg_catalog.=) OLD."updated_by"
        THEN
            NEW."updated_by" := label;
            is_stamped := true;
        END IF;
    END IF;

    IF is_stamped AND label IS NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'integrity_constraint_violation',
            MESSAGE = pg_catalog.format(
                'Nobody is acting, and a row of %I.%I needs somebody.', TG_TABLE_SCHEMA, TG_TABLE_NAME),
            HINT = 'SELECT set_config(''app.current_user'', ''<who>'', true), in the same transaction.',
            SCHEMA = TG_TABLE_SCHEMA,
            TABLE = TG_TABLE_NAME;
    END IF;

    -- Only what the INSERT trigger of another partition would change needs a word to it.
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE'
        AND (is_enforced OR NEW."created_at" IS NULL OR NEW."created_by" IS NULL OR NEW."created_by" OPERATOR(pg_catalog.=) '')
        AND pg_catalog.pg_partition_root(TG_RELID) IS NOT NULL
    THEN
        PERFORM pg_catalog.set_config(
            'app.audit_moved',
            CAST(pg_catalog.jsonb_build_array(
                CAST(pg_catalog.pg_partition_root(TG_RELID) AS pg_catalog.oid),
                pg_catalog.statement_timestamp(),
                NEW."created_at", NEW."created_by"
            ) AS pg_catalog.text),
            true);
    END IF;
    RETURN NEW;
END
$function$;
BEGIN
    IF audited IS NULL THEN
        RAISE undefined_table USING
            MESSAGE = 'There is no table ' || 'frozen_parted' || '.',
            HINT = 'Name one that a migration before this has made; its schema is named apart.';
    END IF;
    SELECT quote_ident(nspname) INTO STRICT home
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = audited;
    -- Left alone when it is there already: other tables use it, and its owner may be another role.
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc JOIN pg_catalog.pg_language ON pg_language.oid = prolang
        WHERE pronamespace = home::regnamespace AND proname = 'audit_fields_stamp' AND pronargs = 0
            AND prosrc = body AND lanname = 'plpgsql' AND NOT prosecdef AND proconfig IS NULL
            AND obj_description(pg_proc.oid, 'pg_proc') = 'django_audit_fields 1 fa52624f'
    ) THEN
        EXECUTE 'CREATE OR REPLACE FUNCTION ' || home || '."audit_fields_stamp"()' ||
            ' RETURNS trigger LANGUAGE plpgsql AS ' || quote_literal(body);
        EXECUTE 'COMMENT ON FUNCTION ' || home || '."audit_fields_stamp"()' || ' IS ' ||
            quote_literal('django_audit_fields 1 fa52624f');
    END IF;
    EXECUTE 'CREATE OR REPLACE TRIGGER "~~audit_fields_insert" BEFORE INSERT ON ' || audited || $definition$ FOR EACH ROW WHEN ((NEW."created_at" OPERATOR(pg_catalog.<=) NEW."updated_at" AND NEW."created_by" OPERATOR(pg_catalog.=) NEW."updated_by" AND NEW."updated_by" OPERATOR(pg_catalog.=) NULLIF(pg_catalog.current_setting('app.current_user', true), '')) IS NOT TRUE)$definition$ ||
        ' EXECUTE FUNCTION ' || home || '."audit_fields_stamp"(''system'', ''refuse'', ''strict'')';
    EXECUTE 'COMMENT ON TRIGGER "~~audit_fields_insert" ON ' || audited || ' IS ' || quote_literal('django_audit_fields {"version": 1, "columns": {"created_at": "created_at", "updated_at": "updated_at", "created_by": "created_by", "updated_by": "updated_by"}, "strict": true, "nobody": "refuse"}');
    EXECUTE 'CREATE OR REPLACE TRIGGER "~~audit_fields_update" BEFORE UPDATE ON ' || audited || $definition$ FOR EACH ROW WHEN ((NEW."updated_at" OPERATOR(pg_catalog.>) OLD."updated_at" AND NEW."created_at" OPERATOR(pg_catalog.=) OLD."created_at" AND NULLIF(NEW."created_by", '') OPERATOR(pg_catalog.=) OLD."created_by" AND NEW."updated_by" OPERATOR(pg_catalog.=) NULLIF(pg_catalog.current_setting('app.current_user', true), '') AND NEW."created_by" OPERATOR(pg_catalog.=) NEW."updated_by") IS NOT TRUE)$definition$ ||
        ' EXECUTE FUNCTION ' || home || '."audit_fields_stamp"(''system'', ''refuse'', ''strict'')';
    EXECUTE 'COMMENT ON TRIGGER "~~audit_fields_update" ON ' || audited || ' IS ' || quote_literal('django_audit_fields {"version": 1, "columns": {"created_at": "created_at", "updated_at": "updated_at", "created_by": "created_by", "updated_by": "updated_by"}, "strict": true, "nobody": "refuse"}');
END
$audit$;
DO $audit$
DECLARE
    audited regclass := to_regclass('frozen_times_1');
    home text;
    body text := $function$
-- Put there by django_audit_fields; `manage.py audit_triggers install` undoes a change made here.
-- columns: {"updated_at": "updated_at"}
DECLARE
    is_preserving boolean := COALESCE(
        pg_catalog.current_setting('app.audit_preserve', true) OPERATOR(pg_catalog.=) 'on', false);
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        IF NEW."updated_at" IS NULL THEN
            NEW."updated_at" := pg_catalog.statement_timestamp();
        END IF;
    ELSIF is_preserving THEN
        NEW."updated_at" := COALESCE(NEW."updated_at", OLD."updated_at");
    ELSE
        IF NEW."updated_at" IS NULL
            OR NEW."updated_at" OPERATOR(pg_catalog.<=) OLD."updated_at"
        THEN
            NEW."updated_at" := GREATEST(pg_catalog.statement_timestamp(), OLD."updated_at");
        END IF;
    END IF;
    RETURN NEW;
END
$function$;
BEGIN
    IF audited IS NULL THEN
        RAISE undefined_table USING
            MESSAGE = 'There is no table ' || 'frozen_times_1' || '.',
            HINT = 'Name one that a migration before this has made; its schema is named apart.';
    END IF;
    SELECT quote_ident(nspname) INTO STRICT home
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = audited;
    -- Left alone when it is there already: other tables use it, and its owner may be another role.
    IF NOT EXISTS (
        SELECT FROM pg_catalog.pg_proc JOIN pg_catalog.pg_language ON pg_language.oid = prolang
        WHERE pronamespace = home::regnamespace AND proname = 'audit_fields_updated_at_d24eee8e' AND pronargs = 0
            AND prosrc = body AND lanname = 'plpgsql' AND NOT prosecdef AND proconfig IS NULL
            AND obj_description(pg_proc.oid, 'pg_proc') = 'django_audit_fields 1 34e82e6e'
    ) THEN
        EXECUTE 'CREATE OR REPLACE FUNCTION ' || home || '."audit_fields_updated_at_d24eee8e"()' ||
            ' RETURNS trigger LANGUAGE plpgsql AS ' || quote_literal(body);
        EXECUTE 'COMMENT ON FUNCTION ' || home || '."audit_fields_updated_at_d24eee8e"()' || ' IS ' ||
            quote_literal('django_audit_fields 1 34e82e6e');
    END IF;
    EXECUTE 'CREATE OR REPLACE TRIGGER "~~audit_fields_insert" BEFORE INSERT ON ' || audited || $definition$ FOR EACH ROW WHEN ((NEW."updated_at" IS NOT NULL) IS NOT TRUE)$definition$ ||
        ' EXECUTE FUNCTION ' || home || '."audit_fields_updated_at_d24eee8e"()';
    EXECUTE 'COMMENT ON TRIGGER "~~audit_fields_insert" ON ' || audited || ' IS ' || quote_literal('django_audit_fields {"version": 1, "columns": {"updated_at": "updated_at"}}');
    EXECUTE 'CREATE OR REPLACE TRIGGER "~~audit_fields_update" BEFORE UPDATE ON ' || audited || $definition$ FOR EACH ROW WHEN ((NEW."updated_at" OPERATOR(pg_catalog.>) OLD."updated_at") IS NOT TRUE)$definition$ ||
        ' EXECUTE FUNCTION ' || home || '."audit_fields_updated_at_d24eee8e"()';
    EXECUTE 'COMMENT ON TRIGGER "~~audit_fields_update" ON ' || audited || ' IS ' || quote_literal('django_audit_fields {"version": 1, "columns": {"updated_at": "updated_at"}}');
END
$audit$;
