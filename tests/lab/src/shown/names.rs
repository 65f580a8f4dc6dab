//! A name that was written wrongly, and the one that was probably meant.

/// At most so many names are offered.
const OFFERED: usize = 3;

/// How alike two names must be, from 0 to 1, for one to be offered for the other.
const ALIKE: f64 = 0.8;

/// What is said of a name that is not among these.
pub fn unknown(what: &str, wrong: &str, names: &[&str]) -> String {
    match &nearest(wrong, names)[..] {
        [] => format!("there is no {what} {wrong:?}; there are {}", names.join(", ")),
        near => format!("there is no {what} {wrong:?}; did you mean {}?", or(near)),
    }
}

/// The names that somebody may have meant, the likeliest first: those with the same number, those that
/// have what was written as a part, or else those that look alike.
pub fn nearest<'n>(wrong: &str, names: &[&'n str]) -> Vec<&'n str> {
    let wrong = wrong.trim().to_lowercase().replace(['_', ' '], "-");
    let number = |name: &str| name.split('-').next().and_then(|digits| digits.parse::<u32>().ok());
    let mut near: Vec<&str> = match wrong.parse::<u32>() {
        Ok(wanted) => names.iter().copied().filter(|name| number(name) == Some(wanted)).collect(),
        Err(_) if wrong.len() < 2 => vec![],
        Err(_) => {
            let is_part = |name: &&&str| name.contains(&wrong) || wrong.contains(**name);
            names.iter().filter(is_part).copied().collect()
        }
    };
    if near.is_empty() && wrong.len() > 2 {
        let without_number =
            |name: &'n str| name.trim_start_matches(|it: char| "0123456789-".contains(it));
        let likeness = |name: &'n str| {
            let [whole, rest] =
                [name, without_number(name)].map(|it| strsim::jaro_winkler(&wrong, it));
            whole.max(rest)
        };
        let mut all: Vec<(f64, &str)> = names.iter().map(|name| (likeness(name), *name)).collect();
        all.retain(|(likeness, _)| *likeness >= ALIKE);
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        // The others are hardly meant if one of them is much nearer.
        let best = all.first().map_or(0.0, |(likeness, _)| *likeness);
        near =
            all.into_iter().filter(|(likeness, _)| best - likeness < 0.05).map(|it| it.1).collect();
    }
    near.truncate(OFFERED);
    near
}

/// `a`, `a or b`, `a, b or c`.
fn or(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => names.join(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [&str; 3] = ["01-blocking", "03-dropped-write", "04-output-buffer"];
    const EXPERIMENTS: [&str; 6] =
        ["two-acts", "paced", "both-ways", "stop-and-go", "half-close", "early-close"];

    #[test]
    fn the_nearest_name_is_offered() {
        for (wrong, meant) in [
            ("two-act", "two-acts"),
            ("twoacts", "two-acts"),
            ("tow-acts", "two-acts"),
            ("two_acts", "two-acts"),
            ("Paced", "paced"),
            ("stop-go", "stop-and-go"),
            ("half", "half-close"),
        ] {
            assert_eq!(nearest(wrong, &EXPERIMENTS), [meant], "{wrong}");
        }
        for (wrong, meant) in [
            ("03", "03-dropped-write"),
            ("3", "03-dropped-write"),
            ("dropped-write", "03-dropped-write"),
            ("03-droped-write", "03-dropped-write"),
            ("droped-write", "03-dropped-write"),
            ("blocking", "01-blocking"),
            ("steps/04-output-buffer", "04-output-buffer"),
        ] {
            assert_eq!(nearest(wrong, &STEPS), [meant], "{wrong}");
        }
        assert_eq!(nearest("close", &EXPERIMENTS), ["half-close", "early-close"]);
    }

    #[test]
    fn nothing_is_offered_for_what_is_like_no_name() {
        for wrong in ["", "x", "nginx", "99", "kubernetes"] {
            assert_eq!(nearest(wrong, &EXPERIMENTS), [""; 0], "{wrong}");
            assert_eq!(nearest(wrong, &STEPS), [""; 0], "{wrong}");
        }
        let said = unknown("experiment", "xyz", &["one", "two"]);
        assert_eq!(said, "there is no experiment \"xyz\"; there are one, two");
        let said = unknown("experiment", "close", &EXPERIMENTS);
        assert!(said.ends_with("did you mean half-close or early-close?"), "{said}");
    }
}
