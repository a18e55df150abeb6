//! `webwallet config show`: every setting, its value, and where that comes from.

use std::collections::BTreeMap;

use figment::value::Value;
use figment::{Profile, Provider as _};
use serde::Serialize;

use super::layers::{flat, layers, source};
use super::{Flags, extract};
use crate::output::{self, Outcome};
use crate::safety;

/// Runs `webwallet config show`.
pub fn run(flags: &Flags, json: bool) -> anyhow::Result<Outcome> {
    #[derive(Serialize)]
    struct Setting<'a> {
        value: &'a Value,
        from: String,
    }
    let figment = layers(flags, std::env::vars_os())?;
    safety::passwords(&extract(&figment)?)?;
    let all = figment.data()?.remove(&Profile::Default).unwrap_or_default();
    let settings = flat(&all).into_iter().map(|(name, value)| {
        let from = source(&figment, value.tag());
        (name, Setting { value, from })
    });
    let settings: BTreeMap<_, _> = settings.collect();
    if json {
        output::line(serde_json::to_vec(&settings)?)?;
        return Ok(Outcome::Done);
    }
    let mut rows = Vec::new();
    for (name, Setting { value, from }) in settings {
        let text = match value {
            Value::Empty(..) => "(not set)".to_owned(),
            value => serde_json::to_string(value)?,
        };
        rows.push(vec![name, text, from]);
    }
    output::line(output::table(&["setting", "value", "from"], rows))?;
    Ok(Outcome::Done)
}
