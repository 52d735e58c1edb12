//! What was found, how bad it is, and what to do about it.

use serde::Serialize;

use super::dial::Broken;
use crate::outcome::Outcome;
use crate::output::{self, Detail};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// Works, and somebody should look.
    Warning,
    /// Clients fail because of it, or soon will.
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    /// What was looked at: `bootstrap`, `cluster`, `broker`, `topic`, `offsets topic`, `clock`, `admin`, `write`.
    check: &'static str,
    /// Of what: an address, a broker, a topic.
    subject: String,
    found: String,
    /// `null` where nothing is to be done.
    advice: Option<String>,
}

/// Everything found, in the order of looking.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

/// What scripts read; its fields stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    healthy: bool,
    findings: &'a [Finding],
}

impl Findings {
    pub(super) fn well(&mut self, check: &'static str, subject: &str, found: impl Into<String>) {
        self.add(Verdict::Ok, check, subject, found.into(), None);
    }

    pub(super) fn warn(
        &mut self,
        check: &'static str,
        subject: &str,
        found: impl Into<String>,
        advice: &str,
    ) {
        self.add(Verdict::Warning, check, subject, found.into(), Some(advice));
    }

    pub(super) fn wrong(
        &mut self,
        check: &'static str,
        subject: &str,
        found: impl Into<String>,
        advice: &str,
    ) {
        self.add(Verdict::Problem, check, subject, found.into(), Some(advice));
    }

    pub(super) fn broken(
        &mut self,
        check: &'static str,
        subject: &str,
        broken: &Broken,
        advice: &str,
    ) {
        self.wrong(check, subject, broken.to_string(), advice);
    }

    fn add(
        &mut self,
        verdict: Verdict,
        check: &'static str,
        subject: &str,
        found: String,
        advice: Option<&str>,
    ) {
        self.0.push(Finding {
            verdict,
            check,
            subject: subject.to_owned(),
            found,
            advice: advice.map(str::to_owned),
        });
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }

    pub(super) fn report(&self) -> Report<'_> {
        Report {
            healthy: self.count(Verdict::Problem) == 0,
            findings: &self.0,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self.count(Verdict::Problem) {
            0 => Outcome::Done,
            _ => Outcome::Failed,
        }
    }

    /// One line for each finding and one for what to do; where all is well, that in one line at the end.
    pub(super) fn text(&self, _: Detail) -> String {
        let mut text = String::new();
        for Finding {
            verdict,
            check,
            subject,
            found,
            advice,
        } in &self.0
        {
            let mark = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "WARNING",
                Verdict::Problem => "PROBLEM",
            };
            text.push_str(&format!("{mark:<8} {check} {subject}: {found}\n"));
            if let Some(advice) = advice {
                text.push_str(&format!("         -> {advice}\n"));
            }
        }
        let (problems, warnings) = (self.count(Verdict::Problem), self.count(Verdict::Warning));
        let all = match (problems, warnings) {
            (0, 0) => "all is well".to_owned(),
            (0, _) => format!(
                "nothing is broken; {}",
                output::count(warnings as u64, "warning")
            ),
            _ => format!(
                "{}, {}",
                output::count(problems as u64, "problem"),
                output::count(warnings as u64, "warning")
            ),
        };
        text + "\n" + &all + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_leaves_a_cluster_healthy_and_a_problem_does_not() {
        let mut findings = Findings::default();
        findings.well("broker", "1", "is there");
        findings.warn("clock", "1", "is 2 s behind", "run NTP");
        assert_eq!(findings.outcome(), Outcome::Done);
        assert_eq!(
            findings.text(Detail::Usual),
            "ok       broker 1: is there\nWARNING  clock 1: is 2 s behind\n         -> run NTP\n\nnothing is broken; 1 warning\n"
        );
        findings.wrong("topic", "t", "has no leader", "start the broker");
        assert_eq!(findings.outcome(), Outcome::Failed);
        assert!(
            findings
                .text(Detail::Usual)
                .ends_with("\n1 problem, 1 warning\n")
        );
        let json = serde_json::to_value(findings.report()).unwrap();
        assert_eq!(
            (&json["healthy"], &json["findings"][2]["verdict"]),
            (&false.into(), &"problem".into())
        );
    }
}
