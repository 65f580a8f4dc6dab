//! A small book without faults, one chapter and two pages: a copy of the directory `tiny`.

use std::fs;
use std::path::Path;

use press::{Project, files};

pub struct Tiny {
    pub dir: tempfile::TempDir,
    pub project: Project,
}

impl Tiny {
    pub fn new() -> Tiny {
        let dir = tempfile::tempdir().unwrap();
        let tiny = Tiny { project: Project::new(dir.path()), dir };
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny");
        for file in files(&original, "") {
            let text = fs::read_to_string(original.join(&file)).unwrap();
            tiny.write(file.to_str().unwrap(), &text);
        }
        // A chapter must be long; in the directory it is short enough to be looked at.
        tiny.replace("book/src/01-one.md", "word – ", &"word – ".repeat(1_500));
        tiny
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces a part of a file, which must be there.
    pub fn replace(&self, file: &str, from: &str, to: &str) {
        let text = self.project.read(file).unwrap();
        assert!(text.contains(from), "{from} is not in {file}");
        self.write(file, &text.replacen(from, to, 1));
    }

    /// Replaces the last page; its fourth line is `text`.
    pub fn end_with(&self, text: &str) {
        self.write("book/src/end.md", &format!("# End\n## Last\n\n{text}\n"));
    }
}
