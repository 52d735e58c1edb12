//! The text format of Prometheus (0.0.4), written straight into one buffer: a broker of ten thousand partitions shows more
//! than a hundred thousand samples, which are read here, and not kept as metrics that every request would have to find.

use std::fmt::{Display, Write as _};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// A page being written.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Goes on behind what is already written.
    pub(crate) fn after(text: String) -> Self {
        Self { text }
    }

    /// Begins a family; its samples follow before the next one begins.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing into a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            name,
            text: &mut self.text,
        }
    }

    pub(crate) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, Kind::Counter, help)
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, Kind::Gauge, help)
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// The samples of one family.
pub(crate) struct Family<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Family<'_> {
    /// The family's only sample.
    pub(crate) fn value(&mut self, value: impl Display) {
        self.sample("", value);
    }

    /// A sample with labels as [`labels`] makes them; empty for none.
    pub(crate) fn sample(&mut self, labels: &str, value: impl Display) {
        self.text.push_str(self.name);
        if !labels.is_empty() {
            self.text.push('{');
            self.text.push_str(labels);
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Labels of a sample, as they stand between the braces.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(48);
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_its_head_and_its_samples() {
        let mut page = Page::after("before 1\n".into());
        let mut family = page.gauge("lag", "How far behind.");
        family.value(7);
        family.sample(&labels(&[("group", "g"), ("topic", "t")]), 0.5);
        assert_eq!(
            page.into_text(),
            "before 1\n# HELP lag How far behind.\n# TYPE lag gauge\nlag 7\nlag{group=\"g\",topic=\"t\"} 0.5\n"
        );
    }

    #[test]
    fn a_hostile_group_id_stays_inside_its_quotes() {
        assert_eq!(
            labels(&[("group", "a\"} 1\nb\\")]),
            "group=\"a\\\"} 1\\nb\\\\\""
        );
    }
}
