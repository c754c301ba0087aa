-- Two roles with the rights that quay-doctor needs, and no other.
--
--   quay_doctor_reader    check, watch, fix (the plan), policy list|show|evaluate, policy create --dry-run,
--                         recover --list, history, tag explain, migrate status|plan|verify
--   quay_doctor_operator  besides: fix --apply, fix undo, fix prune, policy create|update|delete|
--                         activate|deactivate, recover, check --record
--
-- `migrate up`, `down` and `hand-over` alter Quay's policy tables. PostgreSQL lets only their owner do
-- that, so these run as the owner, and so does this file, in Quay's database:
--
--   psql --no-psqlrc --single-transaction --set ON_ERROR_STOP=1 --file deploy/roles.sql quay
--
-- The owner needs CREATEROLE the first time; or an administrator makes the two roles beforehand. It
-- may run at any time and as often as one likes. What is not there yet is left out with a notice: run
-- it again after `migrate up`, and after an upgrade of Quay. Rights on these tables that the two roles
-- got otherwise are taken away: what the tables below say is all they have.
--
-- Nobody logs in as one of the two. Make logins, and put them in:
--
--   CREATE ROLE nightly_check LOGIN PASSWORD '…' IN ROLE quay_doctor_reader;
--   CREATE ROLE night_shift LOGIN PASSWORD '…' IN ROLE quay_doctor_operator;
--
-- Left out on purpose, since not everybody needs them:
--   pg_read_all_stats  for --max-lag and --max-active, and to name the sessions that are waited for
--   pg_signal_backend  for `recover` of an operation whose session hangs and is another login's

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['quay_doctor_reader', 'quay_doctor_operator'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
    -- The operator reads what the reader reads.
    IF NOT EXISTS (
        SELECT FROM pg_auth_members
        WHERE roleid = to_regrole('quay_doctor_reader') AND member = to_regrole('quay_doctor_operator')
    ) THEN
        GRANT quay_doctor_reader TO quay_doctor_operator;
    END IF;
END
$$;

DO $$
DECLARE
    -- Where Quay's tables are, as the search_path finds them.
    quay regnamespace := (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('tag'));
    needed record;
    columns text;
BEGIN
    IF quay IS NULL OR to_regclass('namespaceimmutabilitypolicy') IS NULL THEN
        RAISE EXCEPTION 'Quay''s tables are not on the search_path, or Quay is older than its policies'
            USING HINT = 'Connect to Quay''s database, and SET search_path where Quay does.';
    END IF;

    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %s FROM quay_doctor_reader, quay_doctor_operator', quay);
    EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %s FROM quay_doctor_reader, quay_doctor_operator', quay);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO quay_doctor_reader', current_database());
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO quay_doctor_reader', quay);
    IF to_regnamespace('quay_doctor') IS NOT NULL THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA quay_doctor FROM quay_doctor_reader, quay_doctor_operator;
        GRANT USAGE ON SCHEMA quay_doctor TO quay_doctor_reader;
    END IF;

    FOR needed IN
        SELECT *
        FROM (VALUES
            -- Quay's tables. Columns are named where a row holds secrets (password hashes, addresses,
            -- the credentials of upstream registries), or where less than a row is ever written.
            ('reader', 'SELECT', '"user"', 'id, username, enabled, robot'),
            ('reader', 'SELECT', 'proxycacheconfig', 'organization_id'),
            ('reader', 'SELECT', 'orgmirrorconfig', 'organization_id'),
            ('reader', 'SELECT', 'repository', 'id, namespace_user_id, name, state'),
            ('reader', 'SELECT', 'tag', NULL),
            ('reader', 'SELECT', 'namespaceimmutabilitypolicy', NULL),
            ('reader', 'SELECT', 'repositoryimmutabilitypolicy', NULL),
            ('reader', 'SELECT', 'manifestlabel', 'manifest_id, label_id'),
            ('reader', 'SELECT', 'manifestchild', 'manifest_id, child_manifest_id'),
            ('reader', 'SELECT', 'label', 'id, key, value'),
            -- Older entries are in the tables of older versions of Quay.
            ('reader', 'SELECT', 'logentry3', NULL),
            ('reader', 'SELECT', 'logentry2', NULL),
            ('reader', 'SELECT', 'logentry', NULL),
            ('reader', 'SELECT', 'logentrykind', 'id, name'),
            ('reader', 'SELECT', 'alembic_version', NULL),

            ('operator', 'UPDATE', 'tag', 'immutable, lifetime_end_ms'),
            ('operator', 'SELECT', 'tag_id_seq', NULL),
            ('operator', 'INSERT', 'namespaceimmutabilitypolicy', NULL),
            ('operator', 'UPDATE', 'namespaceimmutabilitypolicy', 'policy, active'),
            ('operator', 'DELETE', 'namespaceimmutabilitypolicy', NULL),
            ('operator', 'USAGE', 'namespaceimmutabilitypolicy_id_seq', NULL),
            ('operator', 'INSERT', 'repositoryimmutabilitypolicy', NULL),
            ('operator', 'UPDATE', 'repositoryimmutabilitypolicy', 'policy, active, namespace_id'),
            ('operator', 'DELETE', 'repositoryimmutabilitypolicy', NULL),
            ('operator', 'USAGE', 'repositoryimmutabilitypolicy_id_seq', NULL),
            ('operator', 'INSERT', 'logentry3',
                'kind_id, account_id, repository_id, datetime, metadata_json'),
            ('operator', 'USAGE', 'logentry3_id_seq', NULL),

            -- Our own. Who did what, when and why, and every value before a change, can be written once
            -- and never changed: only what an operation needs to go on is open to UPDATE. DELETE is for
            -- `fix prune` and for the bound of the recorded scans.
            ('reader', 'SELECT', 'quay_doctor.refinery_schema_history', NULL),
            ('reader', 'SELECT', 'quay_doctor.operation', NULL),
            ('reader', 'SELECT', 'quay_doctor.tag_change', NULL),
            ('reader', 'SELECT', 'quay_doctor.policy_change', NULL),
            ('reader', 'SELECT', 'quay_doctor.kept', NULL),
            ('reader', 'SELECT', 'quay_doctor.scan', NULL),

            ('operator', 'INSERT', 'quay_doctor.operation', NULL),
            ('operator', 'UPDATE', 'quay_doctor.operation',
                'parent_id, phase, fence, worker, heartbeat_at, finished_at, error,
                 cursor_repository_id, cursor_name, cursor_tag_id, tags_matched, tags_changed,
                 tags_skipped, expirations_cleared, batches, longest_batch_ms'),
            ('operator', 'DELETE', 'quay_doctor.operation', NULL),
            ('operator', 'INSERT', 'quay_doctor.tag_change', NULL),
            ('operator', 'UPDATE', 'quay_doctor.tag_change', 'undone_at'),
            ('operator', 'DELETE', 'quay_doctor.tag_change', NULL),
            ('operator', 'INSERT', 'quay_doctor.policy_change', NULL),
            ('operator', 'UPDATE', 'quay_doctor.policy_change', 'undone_at'),
            ('operator', 'DELETE', 'quay_doctor.policy_change', NULL),
            ('operator', 'INSERT', 'quay_doctor.kept', NULL),
            ('operator', 'UPDATE', 'quay_doctor.kept', 'withdrawn_at'),
            ('operator', 'DELETE', 'quay_doctor.kept', NULL),
            ('operator', 'INSERT', 'quay_doctor.scan', NULL),
            ('operator', 'DELETE', 'quay_doctor.scan', NULL)
        ) AS rights (role, privilege, relation, only_columns)
    LOOP
        IF to_regclass(needed.relation) IS NULL THEN
            RAISE NOTICE 'not there yet, left out: % on %', needed.privilege, needed.relation;
            CONTINUE;
        END IF;
        columns := NULL;
        IF needed.only_columns IS NOT NULL THEN
            -- `active` is there from migration 2 on.
            SELECT '(' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')'
            INTO STRICT columns
            FROM pg_attribute
            WHERE attrelid = to_regclass(needed.relation) AND attnum > 0 AND NOT attisdropped
                AND attname = ANY (regexp_split_to_array(needed.only_columns, ',\s*'));
        END IF;
        EXECUTE format('GRANT %s %s ON %s TO %I',
            needed.privilege, columns, to_regclass(needed.relation), 'quay_doctor_' || needed.role);
    END LOOP;
END
$$;
