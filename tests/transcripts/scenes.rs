//! What no header can say: what several terminals must have in common.

use crate::paper::Recording;
use crate::stage::Result;

/// Looks at what was recorded.
pub type Check = fn(recordings: &[Recording]) -> Result<()>;

/// The values of `check`.
pub const CHECKS: [(&str, Check); 1] = [("lost is refused", lost_is_refused)];

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
