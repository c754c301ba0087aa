//! A user's own rules: a folder of rule files.

use std::path::Path;

use super::{Rule, RuleError};

/// How many files are read; a folder with more was hardly meant.
const MOST_FILES: usize = 1_000;
/// How large a file may be, in bytes.
const LARGEST: u64 = 1 << 20;

/// Reads every `.toml` file of a folder, by name; its folders are not looked into.
///
/// # Errors
/// [`RuleError`] where the folder cannot be read, holds no rule, or one of them is wrong.
pub fn rules_in(folder: &Path) -> Result<Vec<Rule>, RuleError> {
    let unreadable = |reason: String| RuleError::Unreadable {
        folder: folder.display().to_string(),
        reason,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(error.to_string()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(error.to_string()))?.path();
        if path.extension().is_some_and(|end| end == "toml") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() || files.len() > MOST_FILES {
        return Err(unreadable(format!(
            "it holds {} .toml files; 1 to {MOST_FILES} are read",
            files.len()
        )));
    }
    let mut rules = Vec::with_capacity(files.len());
    for file in files {
        let name = file.display().to_string();
        let size = std::fs::metadata(&file).map_or(0, |about| about.len());
        if size > LARGEST {
            return Err(unreadable(format!("{name} has {size} bytes")));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|error| unreadable(format!("{name}: {error}")))?;
        rules.push(Rule::parse(&name, &text)?);
    }
    Ok(rules)
}
