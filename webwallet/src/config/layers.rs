//! Where the settings come from, layer over layer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use anyhow::{Context as _, anyhow, bail, ensure};
use figment::providers::{Format as _, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Serialize;

use super::{Config, Flags};

/// Variables of other commands, which `serve` passes over.
const OTHER_VARIABLES: [&str; 4] = ["ca", "config", "home", "url"];
const PREFIX: &str = "WEBWALLET_";

/// One layer of settings, with a name that people understand.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Layer {
    fn of(name: &'static str, values: &impl Serialize) -> figment::error::Result<Layer> {
        let values = Value::serialize(values)?.into_dict().unwrap_or_default();
        Ok(Layer { name, values })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// All layers, lowest first.
pub fn layers(
    flags: &Flags,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Figment> {
    let defaults = Layer::of("default", &Config::default())?;
    let variables = of_variables(variables, &defaults.values)?;
    let mut figment = Figment::from(defaults);
    if let Some(file) = &flags.config {
        // To figment a file that is not there is an empty one.
        let there =
            fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(!there.is_dir(), "{} is a folder, not a file of settings", file.display());
        figment = figment.merge(Toml::file_exact(file));
    }
    let mut flags = Layer::of("flag", flags)?;
    // What is not given is left to the layers below.
    flags.values.retain(|_, value| !matches!(value, Value::Empty(..)));
    Ok(variables.into_iter().fold(figment, Figment::merge).merge(flags))
}

/// `WEBWALLET_DATA=...`, and `WEBWALLET_LIMITS_CONNECTIONS_MAX=...` for the keys of a table:
/// a layer for each. Variables for tests and other commands are passed over.
fn of_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    defaults: &Dict,
) -> anyhow::Result<Vec<Layer>> {
    let settings = flat(defaults);
    let mut layers = Vec::new();
    for (variable, text) in variables {
        let Some(variable) = variable.to_str() else { continue };
        let key = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase);
        let Some(key) = key.filter(|key| !is_of_others(key)) else { continue };
        let text = text
            .into_string()
            .map_err(|text| anyhow!("{variable} is not UTF-8: {}", text.display()))?;
        let Some((setting, default)) = settings.iter().find(|(s, _)| s.replace('.', "_") == key)
        else {
            bail!(
                "there is no setting for the variable {variable}; `webwallet config show` lists all"
            );
        };
        // Only a number is taken for a number: a domain may look like one.
        let wrong = |kind| anyhow!("the variable {variable} is `{text}`, not {kind}");
        let value = match default {
            Value::Num(..) => {
                Value::from(text.parse::<u64>().map_err(|_| wrong("a whole number"))?)
            }
            Value::Bool(..) => {
                Value::from(text.parse::<bool>().map_err(|_| wrong("true or false"))?)
            }
            _ => Value::from(text),
        };
        let values = nest(setting, value).into_dict().unwrap_or_default();
        layers.push(Layer { name: "environment", values });
    }
    Ok(layers)
}

fn is_of_others(key: &str) -> bool {
    // What our tests are told begins so, and one setting does as well.
    let of_tests = key.starts_with("test_") && key != "test_clock";
    // Kubernetes tells every container so where a Service of the name `webwallet` is.
    let of_service = ["port", "service_host", "service_port"].contains(&key)
        || ["port_", "service_port_"].iter().any(|begin| key.starts_with(begin));
    of_tests || of_service || OTHER_VARIABLES.contains(&key)
}

/// Every setting by its whole name, that of its table and a dot before it.
pub fn flat(values: &Dict) -> BTreeMap<String, &Value> {
    let mut settings = BTreeMap::new();
    for (key, value) in values {
        match value.as_dict() {
            Some(table) => settings.extend(
                flat(table).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)),
            ),
            None => drop(settings.insert(key.clone(), value)),
        }
    }
    settings
}

/// Which layer a value is of.
pub fn source(figment: &Figment, tag: Tag) -> String {
    match figment.get_metadata(tag) {
        Some(Metadata { source: Some(source), .. }) => source.to_string(),
        Some(metadata) => metadata.name.to_string(),
        None => "default".to_owned(),
    }
}
