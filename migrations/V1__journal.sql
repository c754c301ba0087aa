-- Our own schema: operations, before-images, evidence, scans. Nothing of Quay's is touched, and
-- nothing refers to Quay's tables by a foreign key: their rows come and go, the journal stays.

-- Its indexes are built on tables of the same transaction, which nobody else can see yet; Quay's own
-- ids are 32-bit integers.
-- squawk-ignore-file require-concurrent-index-creation, prefer-bigint-over-int

-- step: schema quay_doctor
CREATE SCHEMA quay_doctor;

-- step: tables
-- One row a policy operation or fix run.
CREATE TABLE quay_doctor.operation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL
        CHECK (kind IN ('fix', 'create', 'update', 'delete', 'activate', 'deactivate')),
    phase text NOT NULL
        CHECK (phase IN ('applying', 'sweeping', 'releasing', 'undoing', 'done', 'rolled_back')),
    -- The run that a policy operation belongs to, where a fix started it.
    parent_id bigint,
    scope_kind text CHECK (scope_kind IN ('namespace', 'repository')),
    scope_id integer,
    namespace_name text,
    repository_name text,
    policy_uuid text,
    policy_before text,
    policy_after text,
    -- Everything else that was asked for: strategy, remedies, choices about tags.
    options jsonb NOT NULL DEFAULT '{}',
    -- Where the walk over (repository_id, name, id) has arrived.
    cursor_repository_id integer,
    cursor_name text,
    cursor_tag_id integer,
    -- tag_id_seq's last value before the operation began: later rows were pushed since.
    last_tag_id_before bigint,
    -- Set anew at each take-over; a batch of an earlier holder then fails its compare-and-set.
    fence uuid NOT NULL,
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    worker text NOT NULL,
    actor text NOT NULL,
    reason text,
    tool_version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    error text,
    tags_matched bigint NOT NULL DEFAULT 0,
    tags_changed bigint NOT NULL DEFAULT 0,
    tags_skipped bigint NOT NULL DEFAULT 0,
    expirations_cleared bigint NOT NULL DEFAULT 0,
    batches bigint NOT NULL DEFAULT 0,
    longest_batch_ms bigint NOT NULL DEFAULT 0,
    CHECK ((phase IN ('done', 'rolled_back')) = (finished_at IS NOT NULL))
);

CREATE INDEX operation_unfinished ON quay_doctor.operation (id) WHERE finished_at IS NULL;
CREATE INDEX operation_policy ON quay_doctor.operation (policy_uuid) WHERE policy_uuid IS NOT NULL;

-- One row a changed tag, written in the transaction that changes it. No foreign key to operation:
-- its check would cost a look-up for each of a million rows. The key begins with the operation, for
-- the same reason: one index for what is asked of an operation and for the identity.
CREATE TABLE quay_doctor.tag_change (
    id bigint GENERATED ALWAYS AS IDENTITY,
    operation_id bigint NOT NULL,
    tag_id integer NOT NULL,
    repository_id integer NOT NULL,
    immutable_before boolean NOT NULL,
    immutable_after boolean NOT NULL,
    lifetime_end_ms_before bigint,
    lifetime_end_ms_after bigint,
    undone_at timestamptz,
    PRIMARY KEY (operation_id, id)
);

CREATE INDEX tag_change_tag ON quay_doctor.tag_change (tag_id, id);

-- One row a changed policy row, written in the transaction that changes it. The images hold the
-- whole row; a side is NULL where the row did not exist.
CREATE TABLE quay_doctor.policy_change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id bigint NOT NULL,
    policy_table text NOT NULL
        CHECK (policy_table IN ('namespaceimmutabilitypolicy', 'repositoryimmutabilitypolicy')),
    policy_id integer NOT NULL,
    row_before jsonb,
    row_after jsonb,
    undone_at timestamptz,
    CHECK (row_before IS NOT NULL OR row_after IS NOT NULL)
);

CREATE INDEX policy_change_operation ON quay_doctor.policy_change (operation_id, id);

-- What someone has declared to be meant: tags that stay immutable without a policy.
CREATE TABLE quay_doctor.kept (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_id bigint NOT NULL,
    scope_kind text NOT NULL CHECK (scope_kind IN ('namespace', 'repository')),
    scope_id integer NOT NULL,
    -- Either one tag row, or every tag of the scope that this policy text decides to be immutable.
    tag_id integer,
    policy_text text,
    actor text NOT NULL,
    reason text,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    withdrawn_at timestamptz,
    CHECK ((tag_id IS NULL) <> (policy_text IS NULL))
);

CREATE INDEX kept_tag ON quay_doctor.kept (tag_id) WHERE tag_id IS NOT NULL;
CREATE INDEX kept_scope ON quay_doctor.kept (scope_kind, scope_id);

-- The history of recorded scans.
CREATE TABLE quay_doctor.scan (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    complete boolean NOT NULL,
    tool_version text NOT NULL,
    report jsonb NOT NULL
);

CREATE INDEX scan_started ON quay_doctor.scan (started_at);
