//! `[[routes]]` and `[apps.<name>]` as they are written. Whatever is left out is taken from the plain tables.

use crate::config::BackendSettings;
use guarita_receive::Wishes;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, path::PathBuf};

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    pub name: String,
    #[serde(default, rename = "match")]
    pub wishes: MatchEntry,
    /// Name of a table `[apps.<name>]`.
    #[serde(default)]
    pub app: Option<String>,
    #[serde(default)]
    pub app_secret: Option<String>,
    #[serde(default)]
    pub verify_token: Option<String>,
    #[serde(default)]
    pub access_token: Option<String>,
    #[serde(default)]
    pub backend: Option<BackendEntry>,
    #[serde(default)]
    pub backends: Vec<BackendEntry>,
    #[serde(default)]
    pub policy: PolicyEntry,
    #[serde(default)]
    pub storage: StorageEntry,
    #[serde(default)]
    pub limits: Option<guarita_receive::Limits>,
    #[serde(default)]
    pub telegram: Option<TelegramEntry>,
}

impl fmt::Debug for RouteEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Secrets that several routes share.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppEntry {
    pub app_secret: Option<String>,
    pub verify_token: Option<String>,
    pub access_token: Option<String>,
}

impl fmt::Debug for AppEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppEntry(…)")
    }
}

/// What a route asks for; every key narrows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchEntry {
    pub path: Option<String>,
    pub object: Names,
    pub phone_number_id: Names,
    pub waba: Names,
    pub page: Names,
    pub instagram: Names,
    /// Any entry's id, whatever it is of.
    pub account: Names,
    pub field: Names,
}

impl MatchEntry {
    pub fn wishes(&self) -> Wishes {
        let named = |word: &str| match word {
            "whatsapp" => "whatsapp_business_account".to_owned(),
            "messenger" => "page".to_owned(),
            other => other.to_owned(),
        };
        let mut object: Vec<String> = self.object.0.iter().map(|word| named(word)).collect();
        let kinds = [("whatsapp_business_account", &self.waba), ("page", &self.page), ("instagram", &self.instagram)];
        // An id says what it is of: nothing else may pass for it.
        if object.is_empty() && self.account.0.is_empty() {
            let implied = kinds.iter().filter(|(_, ids)| !ids.0.is_empty()).map(|(object, _)| (*object).to_owned());
            object = implied.collect();
        }
        if object.is_empty() && !self.phone_number_id.0.is_empty() {
            object.push("whatsapp_business_account".into());
        }
        let entry_id = kinds.iter().flat_map(|(_, ids)| ids.0.clone()).chain(self.account.0.clone()).collect();
        Wishes { object, account: self.phone_number_id.0.clone(), entry_id, field: self.field.0.clone() }
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackendEntry {
    pub url: Option<String>,
    pub secret: Option<String>,
    pub annotate: Option<guarita_pipeline::Annotate>,
    pub withheld_as: Option<guarita_webhook::WithheldAs>,
    pub split: Option<bool>,
    pub response_seconds_max: Option<u64>,
    pub events_url: Option<String>,
}

impl BackendEntry {
    /// With what it leaves out taken from `[backend]`.
    pub fn over(self, plain: &BackendSettings) -> BackendSettings {
        // The secret of one backend signs for no other: it goes along only to the url it was written for.
        let same = self.url.is_none();
        BackendSettings {
            url: self.url.unwrap_or_else(|| plain.url.clone()),
            secret: self.secret.unwrap_or_else(|| if same { plain.secret.clone() } else { String::new() }),
            annotate: self.annotate.unwrap_or(plain.annotate),
            withheld_as: self.withheld_as.unwrap_or(plain.withheld_as),
            split: self.split.unwrap_or(plain.split),
            connect_seconds_max: plain.connect_seconds_max,
            response_seconds_max: self.response_seconds_max.unwrap_or(plain.response_seconds_max),
            idle_connections_max: plain.idle_connections_max,
            // Events of one backend are no other's.
            events_url: self.events_url.unwrap_or_else(|| if same { plain.events_url.clone() } else { String::new() }),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyEntry {
    pub file: Option<PathBuf>,
    pub on_deadline: Option<guarita_policy::OnDeadline>,
    pub notice_language: Option<guarita_rules::Language>,
}

/// How long the route's own deliveries and attachments are kept.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageEntry {
    pub retention_days: Option<u64>,
    pub quarantine_days: Option<u64>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelegramEntry {
    #[serde(default)]
    pub bot_token: String,
    #[serde(default)]
    pub secret_token: String,
}

/// One id or several; ids are often written without quotes.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id in quotes, or a list of ids")
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<Names, E> {
                if id.is_empty() {
                    Err(E::custom("it is empty; leave the key out to match all"))
                } else {
                    Ok(Names(vec![id.to_owned()]))
                }
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<Names, E> {
                Ok(Names(vec![id.to_string()]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut all = Vec::new();
                while let Some(Names(more)) = list.next_element::<Names>()? {
                    all.extend(more);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("the list is empty; leave the key out to match all"));
                }
                Ok(Names(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
