//! Whether a reader has changed a step. Then a verdict that is not the book's may be what they wanted.

use std::path::Path;
use std::process::{Command, Stdio};

/// What is known of a step's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// They are as they were committed.
    No,
    /// They are not.
    Yes,
    /// There is no git, or the workbook is in no repository.
    Unknown,
}

/// Asks git whether the sources of a step differ from what was committed. Its manifest does not count:
/// that is what the book says of it.
pub fn of(root: &Path, step: &str) -> Change {
    let sources = format!("steps/{step}");
    let manifest = format!(":(exclude){sources}/step.toml");
    // A file of no repository, or one that the repository ignores, differs from nothing.
    let main = format!("{sources}/main.rs");
    if git(root, &["ls-files", "--error-unmatch", "--", &main]) != Some(0) {
        return Change::Unknown;
    }
    match git(root, &["diff", "--quiet", "HEAD", "--", &sources, &manifest]) {
        Some(0) => Change::No,
        Some(1) => Change::Yes,
        _ => Change::Unknown,
    }
}

/// Runs git in a directory, quietly: its exit status.
fn git(root: &Path, arguments: &[&str]) -> Option<i32> {
    let mut command = Command::new("git");
    command.arg("-C").arg(root).args(arguments);
    // Git sets these where it runs a hook. They would lead to another repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().ok()?.code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_changed_when_its_sources_have() {
        let root = tempfile::tempdir().unwrap();
        let step = root.path().join("steps/01-one");
        std::fs::create_dir_all(&step).unwrap();
        let write = |file: &str, text: &str| std::fs::write(step.join(file), text).unwrap();
        write("main.rs", "fn main() {}");
        write("step.toml", "idea = 'i'");
        assert_eq!(of(root.path(), "01-one"), Change::Unknown);
        if git(root.path(), &["init", "--quiet"]) != Some(0) {
            assert!(std::env::var_os("CI").is_none(), "git is not installed");
            return;
        }
        assert_eq!(of(root.path(), "01-one"), Change::Unknown);
        git(root.path(), &["add", "steps"]);
        let by = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"];
        git(root.path(), &[&by[..], &["commit", "--quiet", "--message=one"]].concat());
        assert_eq!(of(root.path(), "01-one"), Change::No);
        write("step.toml", "idea = 'another'");
        assert_eq!(of(root.path(), "01-one"), Change::No);
        write("main.rs", "fn main() { }");
        assert_eq!(of(root.path(), "01-one"), Change::Yes);
    }
}
