//! How many connections each command opens, as docs/connecting.md promises: the server allows a role
//! no more, and the command ends as ever; one less, and it says what is missing.

use quay_doctor::pg::{Columns, Statements};
use quay_doctor::sandbox::world::World;
use testkit::shared::TestDatabase;

use crate::program::{Ended, run_on};

const WORLD: &str = r#"
    seed = 3
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 5
"#;

/// A database whose tables belong to a role of its own.
struct Limited {
    db: TestDatabase,
    role: String,
}

impl Limited {
    fn new() -> Self {
        let db = TestDatabase::quay().expect("a database");
        let mut session = db.write_session().expect("a session");
        World::parse(WORLD)
            .expect("a description")
            .seed(&mut session, chrono::Utc::now())
            .expect("a seeded world");
        let name: String = session
            .query_one("SELECT current_database()::text", &[])
            .and_then(|row| row.read(0))
            .expect("a name");
        let role = format!("limited_{name}");
        session
            .run(&format!(
                "CREATE ROLE {role} LOGIN;
                 GRANT CREATE ON DATABASE {name} TO {role};
                 GRANT CREATE ON SCHEMA public TO {role};
                 DO $$ DECLARE t name; BEGIN
                     FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                         EXECUTE format('ALTER TABLE %I OWNER TO {role}', t);
                     END LOOP;
                 END $$"
            ))
            .expect("a role");
        Self { db, role }
    }

    fn run(&self, most: u32, args: &[&str]) -> Ended {
        let limit = format!("ALTER ROLE {} CONNECTION LIMIT {most}", self.role);
        let mut session = self.db.write_session().expect("a session");
        session.run(&limit).expect("a limit");
        // The backend of the command before may still be on its way out.
        let still = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1)";
        while session
            .query_one(still, &[&self.role])
            .and_then(|row| row.read(0))
            .expect("an answer")
        {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        run_on(&format!("{}&user={}", self.db.url(), self.role), args)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if let Ok(mut session) = self.db.write_session() {
            let _ = session.run(&format!(
                "REASSIGN OWNED BY {0} TO postgres; DROP OWNED BY {0}; DROP ROLE {0}",
                self.role
            ));
        }
    }
}

#[test]
fn no_command_opens_more_connections_than_the_documents_say() {
    let limited = Limited::new();
    limited.run(1, &["migrate", "status"]).expect_status(1);
    limited.run(2, &["migrate", "up"]).expect_status(0);
    let create = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
    ];
    limited.run(1, &create).expect_status(0);
    limited.run(1, &["policy", "list"]).expect_status(0);
    // What fits into one block of the table needs no reader beside the two.
    limited.run(2, &["check"]).expect_status(0);
    let refused = limited.run(1, &["check"]).expect_status(3);
    assert!(
        refused.stderr.contains("too many connections for role"),
        "{}",
        refused.stderr
    );
    limited.run(2, &["fix"]).expect_status(0);
    limited.run(1, &["recover"]).expect_status(0);
    limited.run(1, &["history"]).expect_status(0);
    limited
        .run(1, &["tag", "explain", "acme/shop:v1.1"])
        .expect_status(0);
}
