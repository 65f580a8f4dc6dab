//! Badges and tables made from the laboratory's matrix.

use lab::arrived::verdict::Kind;
use lab::experiments::{self, Experiment};
use lab::ladder::{Expectation, ladder};

use crate::directive::Slice;
use crate::html::escape;

/// What a badge says, and the class that colours it. Never the colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Every byte arrives.
    Exact,
    /// What cannot be passed on is not taken, or put aside.
    Held,
    /// Bytes are lost, or damaged.
    Loses,
    /// Nothing moves any more.
    Freezes,
    /// Memory, descriptors or processor time go, and do not come back.
    Grows,
}

impl Mark {
    /// The mark of a verdict.
    pub fn of(kind: Kind) -> Mark {
        match kind {
            Kind::Exact => Mark::Exact,
            Kind::HeldBack | Kind::Spilled => Mark::Held,
            Kind::Frozen | Kind::Slow | Kind::Died | Kind::Absent => Mark::Freezes,
            Kind::Grew | Kind::Leaked | Kind::Spun => Mark::Grows,
            _ => Mark::Loses,
        }
    }

    /// The class of its badge.
    pub fn class(self) -> &'static str {
        match self {
            Mark::Exact => "badge-exact",
            Mark::Held => "badge-held",
            Mark::Loses => "badge-loses",
            Mark::Freezes => "badge-freezes",
            Mark::Grows => "badge-grows",
        }
    }

    /// What it says of a whole step.
    pub fn words(self) -> &'static str {
        match self {
            Mark::Exact => "exact",
            Mark::Held => "held back",
            Mark::Loses => "loses bytes",
            Mark::Freezes => "freezes",
            Mark::Grows => "grows",
        }
    }
}

/// What a step comes to over all experiments: everything that goes wrong, or *exact*.
pub fn step_marks(step: &str) -> Option<Vec<Mark>> {
    let step = ladder().step(step)?;
    let mut bad: Vec<Mark> = experiments::ALL
        .iter()
        .flat_map(|one| step.expected(one.name).kinds)
        .filter(|kind| !kind.is_good())
        .map(Mark::of)
        .collect();
    bad.sort();
    bad.dedup();
    Some(if bad.is_empty() { vec![Mark::Exact] } else { bad })
}

/// The step that a file belongs to.
pub fn step_of(file: &str) -> Option<&'static str> {
    let step = file.strip_prefix("steps/")?.split('/').next()?;
    ladder().step(step).map(|step| step.name.as_str())
}

/// A badge with these words.
pub fn badge(mark: Mark, words: &str) -> String {
    format!("<span class=\"badge {}\">{}</span>", mark.class(), escape(words))
}

/// The badge of a step.
pub fn step_badge(step: &str) -> Result<String, String> {
    let marks = step_marks(step).ok_or_else(|| no_step(step))?;
    let badges: Vec<String> = marks.iter().map(|mark| badge(*mark, mark.words())).collect();
    Ok(badges.join(" "))
}

/// The matrix, or a part of it, as one line of HTML.
pub fn table(slice: &Slice) -> Result<String, String> {
    let all = || experiments::ALL.iter();
    match slice {
        Slice::Whole => {
            let steps: Vec<&str> = ladder().steps.iter().map(|step| step.name.as_str()).collect();
            let heads: Vec<String> = steps.iter().map(|step| code(step)).collect();
            let rows = all().map(|one| {
                let cells = steps.iter().map(|step| cell(one, step));
                (experiment_head(one), cells.map(|cell| badges(&cell) + &reason(&cell)).collect())
            });
            Ok(lay_out("What every step does in every experiment", "Experiment", &heads, rows))
        }
        Slice::Step(step) if ladder().step(step).is_none() => Err(no_step(step)),
        Slice::Step(step) => {
            let heads = ["Verdict".to_string(), "Why".to_string()];
            let rows = all().map(|one| {
                let cell = cell(one, step);
                (experiment_head(one), vec![badges(&cell), escape(&cell.why)])
            });
            let caption = format!("What {step} does in every experiment");
            Ok(lay_out(&caption, "Experiment", &heads, rows))
        }
        Slice::Experiment(name) => {
            let one = experiments::named(name).ok_or_else(|| {
                let names: Vec<&str> = all().map(|one| one.name).collect();
                format!("there is no experiment {name}; there are {}", names.join(", "))
            })?;
            let heads = ["Verdict".to_string(), "Why".to_string()];
            let rows = ladder().steps.iter().map(|step| {
                let cell = step.expected(one.name);
                (code(&step.name), vec![badges(&cell), escape(&cell.why)])
            });
            let caption = format!("{}: {}", one.name, one.question);
            Ok(lay_out(&caption, "Step", &heads, rows))
        }
    }
}

fn no_step(step: &str) -> String {
    format!("there is no step {step}; there are {}", ladder().names())
}

fn cell(experiment: &Experiment, step: &str) -> Expectation {
    ladder().expected(experiment.name, step).expect("the matrix has a cell for each of both")
}

fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

fn experiment_head(experiment: &Experiment) -> String {
    let question = escape(experiment.question);
    format!("{}<span class=\"question\">{question}</span>", code(experiment.name))
}

/// A badge for each verdict that the cell allows.
fn badges(cell: &Expectation) -> String {
    let badges: Vec<String> =
        cell.kinds.iter().map(|kind| badge(Mark::of(*kind), kind.word())).collect();
    badges.join(" or ")
}

/// The reason, where the badge alone does not say it.
fn reason(cell: &Expectation) -> String {
    if cell.kinds == [Kind::Exact] {
        return String::new();
    }
    format!("<span class=\"reason\">{}</span>", escape(&cell.why))
}

/// A table in a frame that can be scrolled, also with the keyboard.
fn lay_out(
    caption: &str,
    corner: &str,
    heads: &[String],
    rows: impl Iterator<Item = (String, Vec<String>)>,
) -> String {
    let caption = escape(caption);
    // On a telephone, verdict and reason are laid out as a grid. Browsers forget that a grid is a
    // table, unless its roles say so.
    let (class, col) = match heads.len() {
        2 => ("matrix narrow", "<th scope=\"col\" role=\"columnheader\">"),
        _ => ("matrix", "<th scope=\"col\">"),
    };
    let role = |name: &str| match heads.len() {
        2 => format!(" role=\"{name}\""),
        _ => String::new(),
    };
    let (group, row, cell) = (role("rowgroup"), role("row"), role("cell"));
    let mut html = format!(
        "<div class=\"table-wrapper matrix-frame\" role=\"region\" tabindex=\"0\" \
         aria-label=\"{caption}\"><table class=\"{class}\"{}><caption>{caption}</caption>\
         <thead{group}><tr{row}>{col}{corner}</th>",
        role("table")
    );
    for head in heads {
        html += &format!("{col}{head}</th>");
    }
    html += &format!("</tr></thead><tbody{group}>");
    for (head, cells) in rows {
        html += &format!("<tr{row}><th scope=\"row\"{}>{head}</th>", role("rowheader"));
        for content in cells {
            html += &format!("<td{cell}>{content}</td>");
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_the_badge_that_its_row_gives_it() {
        let badges: Vec<_> =
            ladder().steps.iter().map(|step| step_marks(&step.name).unwrap()).collect();
        assert_eq!(
            badges,
            [vec![Mark::Freezes], vec![Mark::Freezes], vec![Mark::Loses], vec![Mark::Grows]]
        );
        assert!(step_badge("03-dropped-write").unwrap().contains("badge-loses\">loses bytes<"));
        assert!(step_badge("05").unwrap_err().starts_with("there is no step 05; there are 01-"));
    }

    #[test]
    fn the_tables_show_what_the_matrix_says() {
        let whole = table(&Slice::Whole).unwrap();
        let rows = experiments::ALL.len();
        assert_eq!(whole.matches("<tr>").count(), rows + 1);
        assert_eq!(whole.matches("<td>").count(), rows * ladder().steps.len());
        for one in experiments::ALL {
            for step in ladder().steps.iter().map(|step| step.name.as_str()) {
                let cell = cell(one, step);
                let row = table(&Slice::Experiment(one.name.into())).unwrap();
                assert!(row.contains(&badges(&cell)) && row.contains(&escape(&cell.why)));
                assert!(table(&Slice::Step(step.into())).unwrap().contains(&badges(&cell)));
            }
        }
        assert!(!whole.contains('\n'), "one line, or Markdown would end the table early");
    }

    #[test]
    fn what_the_matrix_does_not_know_is_an_error() {
        assert!(table(&Slice::Step("three".into())).unwrap_err().contains("no step three"));
        let error = table(&Slice::Experiment("two-act".into())).unwrap_err();
        assert!(error.contains("no experiment two-act; there are plain, lost-tail"), "{error}");
    }
}
