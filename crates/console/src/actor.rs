//! Who asks, and what they may. Permissions are asked in the desk, never in a handler, so that pages and API cannot differ.

use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr};

/// What a person is to this company's inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees figures and findings; personal data masked, no content.
    Viewer,
    /// Sees content (audited), releases, deletes, replays, keeps lists.
    Reviewer,
    /// Everything: people, tokens, settings, audit, erasure.
    Admin,
}

/// A group of permissions; tokens carry some of them, roles imply them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Figures, records and findings, personal data masked.
    Read,
    /// Personal data and contents.
    Content,
    /// Release, delete, download, retry, replay, lists and exceptions, trying rules.
    Review,
    /// People, tokens, settings, audit, reload, rescan, erasure.
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Content, Scope::Review, Scope::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Content => "content",
            Scope::Review => "review",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| format!("`{word}` is not one of: read, content, review, admin"))
    }
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Reviewer, Role::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Reviewer => "reviewer",
            Role::Admin => "admin",
        }
    }

    pub fn scopes(self) -> Vec<Scope> {
        match self {
            Role::Viewer => vec![Scope::Read],
            Role::Reviewer => vec![Scope::Read, Scope::Content, Scope::Review],
            Role::Admin => Scope::ALL.to_vec(),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| format!("`{word}` is not one of: viewer, reviewer, admin"))
    }
}

/// Who asks. Made by the log-in, by a token, or by a command on this machine; never from a request's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// As the audit shows it: `ana`, `token:siem`, `local:root`.
    pub name: String,
    pub scopes: Vec<Scope>,
    pub address: Option<IpAddr>,
}

impl Actor {
    pub fn person(name: &str, role: Role, address: Option<IpAddr>) -> Actor {
        Actor { name: name.to_owned(), scopes: role.scopes(), address }
    }

    pub fn token(name: &str, scopes: Vec<Scope>, address: Option<IpAddr>) -> Actor {
        Actor { name: format!("token:{name}"), scopes, address }
    }

    /// A command run on this machine by someone who may read the storage folder.
    pub fn local(user: &str) -> Actor {
        Actor { name: format!("local:{user}"), scopes: Scope::ALL.to_vec(), address: None }
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_grow() {
        for (less, more) in [(Role::Viewer, Role::Reviewer), (Role::Reviewer, Role::Admin)] {
            assert!(less < more && less.scopes().iter().all(|scope| more.scopes().contains(scope)));
        }
        assert!(!Actor::person("v", Role::Viewer, None).may(Scope::Content));
        assert!(!Actor::person("r", Role::Reviewer, None).may(Scope::Admin));
    }

    #[test]
    fn words_come_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("root".parse::<Role>().is_err());
    }
}
