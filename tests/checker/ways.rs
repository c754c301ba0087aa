//! The ways in which tags are read say the same: by pages, by the index of immutable tags, row by row.

use serde_json::Value;

use crate::line::stage::Stage;

/// acme has policies, globex none.
const WORLD: &str = r#"
    seed = 4
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.policy]]
    pattern = "latest|[é-ü].*"
    [[namespace.repository]]
    name = "r{n}"
    count = 4
    [[namespace]]
    name = "globex"
    [[namespace.repository]]
    name = "r{n}"
    count = 3
"#;

/// Rules about immutable tags alone, live and dead.
const IMMUTABLE: [&str; 6] = [
    "--rule",
    "orphaned-immutable-tag",
    "--rule",
    "uncollectable-tag",
    "--rule",
    "immutable-tag-with-expiry",
];

/// Above this an id has no room in a mark.
const LARGEST_MARKED: i64 = (i32::MAX >> 3) as i64;

/// Few rows to a page, so that the table has more pages than a reader takes at once. Nearly all tags are
/// mutable, and a policy matches one in five hundred of these. Every kind of immutable row, with names as nobody
/// should give them, also in a repository that is gone.
fn full(stage: &Stage) {
    stage.sql(
        r"
        ALTER TABLE tag SET (fillfactor = 10);
        INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, lifetime_end_ms)
        SELECT CASE WHEN n % 500 = 0 THEN 'v' ELSE 'b' END || n, r.id, 1, 1,
            CASE n % 7 WHEN 1 THEN 5 WHEN 2 THEN 9999999999999 END
        FROM generate_series(1, 2500) n, repository r;
        SET session_replication_role = replica;
        INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, lifetime_end_ms,
            hidden, immutable)
        SELECT name, repository_id, 2, 1, ends + hidden::int, hidden, true
        FROM unnest(ARRAY['v1', 'x1', 'latest', '', E'v\nx', E'\n', E'é\n', 'ü', E'\t', '''',
                repeat('v', 255)]) WITH ORDINALITY AS names (name, n),
            (SELECT unnest(ARRAY[NULL, 7, 9999999999998]) AS ends) AS e,
            (SELECT id FROM repository UNION ALL SELECT max(id) + 77 FROM repository) AS r (repository_id),
            (SELECT unnest(ARRAY[false, true]) AS hidden) AS h
        WHERE NOT hidden OR n = 2;
        RESET session_replication_role;
        ",
    );
}

/// What a check says: subjects and violations of each rule, and each violation.
fn said(stage: &Stage, rules: &[&str]) -> (Value, String) {
    let flags = [
        "--immutable-tags",
        "true",
        "--immutable-tags-can-expire",
        "false",
    ];
    let args = [&["-vv", "check", "--format", "json"], &flags[..], rules].concat();
    let ended = stage.run(&args);
    let report = ended.json();
    let sums = |rule: &Value| {
        let names = ["id", "subjects", "violations", "undecided", "status"];
        names.map(|name| rule[name].clone())
    };
    let rules = report["rules"].as_array().expect("rules");
    let mut violations = report["violations"].as_array().expect("violations").clone();
    violations.sort_by_key(|v| (v["rule"].to_string(), v["subject"]["id"].as_i64()));
    let rules: Vec<_> = rules.iter().map(sums).collect();
    let said = serde_json::json!({ "rules": rules, "violations": violations });
    (said, ended.stderr)
}

/// Whether the log says that the index was taken.
fn took_the_index(log: &str) -> bool {
    log.contains("few=true")
}

/// PostgreSQL 13 reads every tag as a row.
fn reads_blocks(stage: &Stage) -> bool {
    stage.count("SELECT current_setting('server_version_num')::bigint") >= 140_000
}

#[test]
fn pages_the_index_and_single_rows_say_the_same() {
    let stage = Stage::migrated(WORLD);
    full(&stage);
    // Nobody has counted immutable tags: the index is not thought of.
    let (all_by_pages, _) = said(&stage, &[]);
    let (by_pages, log) = said(&stage, &IMMUTABLE);
    assert!(!took_the_index(&log), "{log}");
    let subjects = &by_pages["rules"].as_array().expect("rules")[..];
    assert!(subjects.iter().all(|rule| rule[1] != 0), "{subjects:?}");
    stage.sql("ANALYZE tag");
    let (by_index, log) = said(&stage, &IMMUTABLE);
    assert_eq!(took_the_index(&log), reads_blocks(&stage), "{log}");
    assert_eq!(by_index, by_pages);
    for shard in ["0/3", "1/3", "2/3"] {
        let part = [&IMMUTABLE[..], &["--shard", shard]].concat();
        let (by_index, log) = said(&stage, &part);
        assert_eq!(took_the_index(&log), reads_blocks(&stage), "{log}");
        stage.sql(
            "UPDATE pg_index SET indisvalid = false
            WHERE indexrelid = 'tag_repository_id_immutable'::regclass",
        );
        let (by_pages, log) = said(&stage, &part);
        assert!(!took_the_index(&log), "an invalid index: {log}");
        assert_eq!(by_index, by_pages, "{shard}");
        stage.sql(
            "UPDATE pg_index SET indisvalid = true
            WHERE indexrelid = 'tag_repository_id_immutable'::regclass",
        );
    }
    stage.sql("DROP INDEX tag_repository_id_immutable");
    let (without, log) = said(&stage, &IMMUTABLE);
    assert!(!took_the_index(&log), "{log}");
    assert_eq!(without, by_pages);
    // A repository without room in a mark has every tag read as a row.
    stage.sql(&format!(
        r#"INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token)
           SELECT {}, max(id), 'far', 1, '' FROM "user""#,
        LARGEST_MARKED + 1
    ));
    assert_eq!(said(&stage, &IMMUTABLE).0, by_pages);
    assert_eq!(said(&stage, &[]).0, all_by_pages);
}

#[test]
fn immutable_tags_that_are_many_are_read_by_pages() {
    let stage = Stage::migrated(WORLD);
    full(&stage);
    stage.sql("UPDATE tag SET immutable = true WHERE id % 10 = 0; ANALYZE tag");
    let (_, log) = said(&stage, &IMMUTABLE);
    assert!(!took_the_index(&log), "{log}");
    assert_eq!(log.contains("few=false"), reads_blocks(&stage), "{log}");
}

#[test]
fn a_tag_of_a_repository_that_is_gone_is_no_other_repositorys_however_large_its_id() {
    let stage = Stage::migrated(WORLD);
    full(&stage);
    // Shifted by three bits, this id is that of a repository which has the policy `v.*`.
    let far = stage.count("SELECT min(id)::bigint FROM repository") + (1 << 29);
    stage.sql(&format!(
        "SET session_replication_role = replica;
         INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
         VALUES ('v8', {far}, 3, 1, true)"
    ));
    for rules in [&[][..], &IMMUTABLE] {
        let (said, _) = said(&stage, rules);
        let found = said["violations"].as_array().expect("violations");
        let of = |v: &&Value| v["subject"]["name"] == "v8" || v["subject"]["tag"] == "v8";
        assert_eq!(found.iter().filter(of).count(), 1, "{said:#}");
    }
    if !reads_blocks(&stage) {
        return;
    }
    // Where no index tells the largest id at once, the id has no room, and that is no answer.
    stage.sql(
        "DO $$ DECLARE i text; BEGIN
             FOR i IN SELECT indexrelid::regclass FROM pg_index
                 WHERE indrelid = 'tag'::regclass AND NOT indisprimary
             LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$",
    );
    let ended = stage.run(&["check", "--rule", "orphaned-immutable-tag"]);
    let ended = ended.expect_status(3);
    assert!(ended.stderr.contains("out of range"), "{}", ended.stderr);
}
