//! `--name value` pairs.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Flags(BTreeMap<String, String>);

impl Flags {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Flags> {
        let mut flags = BTreeMap::new();
        while let Some(arg) = args.next() {
            let Some(name) = arg.strip_prefix("--") else {
                bail!("{arg}: flags are --name value");
            };
            let value = args
                .next()
                .with_context(|| format!("{arg} wants a value"))?;
            flags.insert(name.to_owned(), value);
        }
        Ok(Flags(flags))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        let value = self
            .0
            .get(name)
            .with_context(|| format!("--{name} is missing"))?;
        Ok(value)
    }

    pub(crate) fn get<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse()
            .ok()
            .with_context(|| format!("--{name} {text} is nothing for it"))
    }

    pub(crate) fn or<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        if self.0.contains_key(name) {
            self.get(name)
        } else {
            Ok(default)
        }
    }
}
