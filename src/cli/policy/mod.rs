//! `policy`: list, show, create, update, delete, activate, deactivate, evaluate.

mod carrying;
mod render;
mod watch;

use clap::{Args, Subcommand, ValueEnum};
use quay_doctor::{
    Create, NewPattern, Pick, Polarity, PolicyState, PolicyUuid, Selection, TagsChoice, Update,
    policy_activate, policy_create, policy_deactivate, policy_delete, policy_evaluate, policy_list,
    policy_preview, policy_update,
};

pub use carrying::Carrying;
pub use watch::Watch;

use super::{Exit, Failure, Format, Globals, output};

/// Shows policies, and changes them so that no fault can leave one half done
#[derive(Args, Debug)]
pub struct PolicyArgs {
    #[command(subcommand)]
    sub: Sub,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Every policy, with its state
    List(Listed),
    /// One policy
    Show {
        /// Its uuid
        uuid: String,
    },
    /// Creates a policy: inactive, applied to its tags, activated
    Create(CreateArgs),
    /// Changes a policy's pattern; its uuid stays
    Update {
        /// Its uuid
        uuid: String,
        #[command(flatten)]
        new: New,
        /// What becomes of tags that only the old pattern covered
        #[arg(long, value_enum, value_name = "keep|release")]
        unmatched_tags: Tags,
        #[command(flatten)]
        carrying: Carrying,
    },
    /// Deletes a policy
    Delete {
        /// Its uuid
        uuid: String,
        /// What becomes of its tags
        #[arg(long, value_enum, value_name = "keep|release")]
        tags: Tags,
        #[command(flatten)]
        carrying: Carrying,
    },
    /// Applies an inactive policy to its tags, and activates it
    Activate {
        /// Its uuid
        uuid: String,
        #[command(flatten)]
        carrying: Carrying,
    },
    /// Sets a policy inactive; a Quay that does not know the column goes on enforcing it
    Deactivate {
        /// Its uuid
        uuid: String,
        /// What becomes of its tags
        #[arg(long, value_enum, value_name = "keep|release")]
        tags: Tags,
        /// Yes, the Quay in front of this database knows the column `active`, or may enforce it
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        carrying: Carrying,
    },
    /// Decides on pushes as Quay would, with active policies only
    Evaluate {
        /// The namespace
        #[arg(long, value_name = "NAME")]
        namespace: String,
        /// The repository
        #[arg(long, value_name = "NAME")]
        repository: String,
        /// The tags
        #[arg(long = "tag", value_name = "TAG", required = true, num_args = 1..)]
        tags: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct Listed {
    /// Only this namespace
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Only this repository's own policies
    #[arg(long, value_name = "NAME", requires = "namespace")]
    repository: Option<String>,
    /// Only policies in this state
    #[arg(long, value_enum)]
    state: Option<State>,
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// The namespace
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// The repository, for a policy of one repository
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    #[command(flatten)]
    new: New,
    /// Only stage it: written, not applied, not active
    #[arg(long)]
    inactive: bool,
    /// An equal active policy that is there already is as good
    #[arg(long)]
    if_absent: bool,
    /// Say what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    carrying: Carrying,
}

/// A configuration.
#[derive(Args, Debug)]
struct New {
    /// The pattern, matched against the whole tag
    #[arg(long, value_name = "PATTERN")]
    pattern: String,
    /// Make everything immutable that does not match
    #[arg(long)]
    not_matching: bool,
    /// Accept a pattern that may run into Quay's time-out of one second
    #[arg(long)]
    allow_slow: bool,
}

impl New {
    fn pattern(&self) -> NewPattern {
        NewPattern {
            pattern: self.pattern.clone(),
            polarity: if self.not_matching {
                Polarity::NotMatching
            } else {
                Polarity::Matching
            },
            allow_slow: self.allow_slow,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tags {
    /// They stay immutable; that is written down
    Keep,
    /// They become mutable where nothing else makes them immutable
    Release,
}

impl From<Tags> for TagsChoice {
    fn from(tags: Tags) -> Self {
        match tags {
            Tags::Keep => Self::Keep,
            Tags::Release => Self::Release,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Active,
    Inactive,
    Applying,
    Interrupted,
}

impl State {
    fn is(self, state: PolicyState) -> bool {
        matches!(
            (self, state),
            (Self::Active, PolicyState::Active)
                | (Self::Inactive, PolicyState::Inactive)
                | (Self::Applying, PolicyState::Applying)
                | (Self::Interrupted, PolicyState::Interrupted)
        )
    }
}

/// Runs the verb.
pub fn run(args: &PolicyArgs, globals: &Globals) -> Result<Exit, Failure> {
    let settings = globals.connection()?;
    match &args.sub {
        Sub::List(listed) => {
            let selection = Selection {
                namespace: listed.namespace.clone(),
                repository: listed.repository.clone(),
            };
            let mut policies = policy_list(&settings, &selection)?;
            policies.retain(|policy| listed.state.is_none_or(|state| state.is(policy.state)));
            render::list(&policies, globals.format)?;
            Ok(Exit::AllWell)
        }
        Sub::Show { uuid } => {
            let policies = policy_list(&settings, &Selection::default())?;
            let policy = policies.iter().find(|policy| policy.uuid.0 == *uuid);
            render::one(policy, uuid, globals.format)
        }
        Sub::Create(create) => self::create(create, globals),
        Sub::Update {
            uuid,
            new,
            unmatched_tags,
            carrying,
        } => {
            let request = Update {
                policy: PolicyUuid(uuid.clone()),
                new: new.pattern(),
                unmatched: (*unmatched_tags).into(),
            };
            carry(globals, carrying, |options, watch| {
                policy_update(&settings, &request, options, watch)
            })
        }
        Sub::Delete {
            uuid,
            tags,
            carrying,
        } => {
            let uuid = PolicyUuid(uuid.clone());
            carry(globals, carrying, |options, watch| {
                policy_delete(&settings, &uuid, (*tags).into(), options, watch)
            })
        }
        Sub::Activate { uuid, carrying } => {
            let uuid = PolicyUuid(uuid.clone());
            carry(globals, carrying, |options, watch| {
                policy_activate(&settings, &uuid, options, watch)
            })
        }
        Sub::Deactivate {
            uuid,
            tags,
            yes,
            carrying,
        } => {
            if !yes {
                return Err(render::wants_yes());
            }
            let uuid = PolicyUuid(uuid.clone());
            carry(globals, carrying, |options, watch| {
                policy_deactivate(&settings, &uuid, (*tags).into(), options, watch)
            })
        }
        Sub::Evaluate {
            namespace,
            repository,
            tags,
        } => {
            let names: Vec<&str> = tags.iter().map(String::as_str).collect();
            let decided = policy_evaluate(&settings, namespace, repository, &names)?;
            render::evaluated(&decided, globals.format)?;
            Ok(Exit::AllWell)
        }
    }
}

fn create(create: &CreateArgs, globals: &Globals) -> Result<Exit, Failure> {
    let settings = globals.connection()?;
    let pick = Pick {
        namespace: create.namespace.clone(),
        repository: create.repository.clone(),
    };
    if create.dry_run {
        let preflight = policy_preview(&settings, &pick, &create.new.pattern())?;
        render::preflight(&preflight, globals.format)?;
        return Ok(Exit::AllWell);
    }
    let request = Create {
        pick,
        new: create.new.pattern(),
        inactive: create.inactive,
        if_absent: create.if_absent,
    };
    carry(globals, &create.carrying, |options, watch| {
        policy_create(&settings, &request, options, watch)
    })
}

/// Carries an operation out, and renders its outcome.
fn carry(
    globals: &Globals,
    carrying: &Carrying,
    operation: impl FnOnce(
        &quay_doctor::PolicyOptions,
        &mut Watch,
    ) -> Result<quay_doctor::PolicyOutcome, quay_doctor::PolicyError>,
) -> Result<Exit, Failure> {
    let options = carrying.options(globals)?;
    let mut watch = Watch::new(globals);
    let outcome = operation(&options, &mut watch);
    watch.end();
    let outcome = outcome?;
    match globals.format {
        Format::Human => output::text(&render::outcome(&outcome))?,
        Format::Json => output::json(&render::outcome_json(&outcome))?,
    }
    Ok(if outcome.wants_a_look() {
        Exit::SomethingToDo
    } else {
        Exit::AllWell
    })
}
