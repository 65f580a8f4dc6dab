//! What no header can say: a scene that is not played as it stands, and what terminals must have in
//! common.

use lab::experiments;
use lab::ladder::ladder;

use crate::paper::Recording;
use crate::script::Scene;
use crate::stage::{Result, Stage};

/// Plays a scene in its own way; `bless` says that it is recorded.
pub type Code = fn(scene: &Scene, bless: bool) -> Result<Vec<Recording>>;

/// Looks at what was recorded.
pub type Check = fn(recordings: &[Recording]) -> Result<()>;

/// The values of `code`.
pub const CODES: [(&str, Code); 1] = [("matrix", matrix)];

/// The values of `check`.
pub const CHECKS: [(&str, Check); 1] = [("lost is refused", lost_is_refused)];

/// Recorded, all experiments run. Otherwise the table is compared with the manifests of the steps:
/// whether each step does what its manifest says is for the stories of the steps to find out, and
/// once is enough.
fn matrix(scene: &Scene, bless: bool) -> Result<Vec<Recording>> {
    let paper = &scene.papers[0];
    let mut text = paper.transcript.text.clone();
    if bless {
        let (output, status) = Stage::set(scene)?.run("cargo lab matrix")?;
        if status != 0 {
            return Err(format!("it is not as expected:\n{output}"));
        }
        // Without the lines that tell how far it has come.
        let table = output.split_once("\n\n").map_or("", |(_, table)| table);
        text = format!("$ cargo lab matrix\n…\n\n{table}");
    }
    let mut cells = 0;
    for experiment in experiments::ALL {
        let name = experiment.name;
        let row = text.lines().find(|line| line.split(' ').next() == Some(name));
        let row: Vec<char> = row.ok_or(format!("it has no row {name}"))?.chars().collect();
        let mut columns = row.chunks(18).skip(1);
        for step in &ladder().steps {
            let column = columns.next().ok_or(format!("it has no column {}", step.name))?;
            let word = column.iter().collect::<String>().trim().to_string();
            let expected = step.expected(name);
            if !expected.kinds.iter().any(|kind| kind.word() == word) {
                let expected = expected.words();
                return Err(format!("{} in {name}: {word}, expected {expected}", step.name));
            }
            cells += 1;
        }
    }
    match text.contains(&format!("All {cells} verdicts are as expected.")) {
        true => Ok(vec![Recording { name: paper.name.clone(), text }]),
        false => Err(format!("it does not say that all {cells} are as expected")),
    }
}

/// What the client misses is what the kernel did not take, to the byte.
fn lost_is_refused(recordings: &[Recording]) -> Result<()> {
    let text =
        |name: &str| recordings.iter().find(|recording| recording.name == name).map(|r| &r.text);
    let (client, sum) =
        text("strace-client").zip(text("strace-sum")).ok_or("they are not there")?;
    let line = client.lines().find(|line| line.contains("hole: ") || line.contains("truncated: "));
    let before = line.and_then(|line| {
        let before = line.split_once(" bytes in all").or_else(|| line.split_once(" bytes"));
        before?.0.rsplit(' ').next()
    });
    let (missing, refused) = (before.map(|bytes| bytes.replace(',', "")), sum.lines().last());
    match missing.is_some() && missing.as_deref() == refused {
        true => Ok(()),
        false => Err(format!("{missing:?} are missing, {refused:?} were refused")),
    }
}
