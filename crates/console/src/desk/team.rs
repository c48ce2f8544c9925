//! People and tokens, as far as an admin works on them.

use super::{Desk, DeskError, Done};
use crate::{
    actor::{Actor, Role, Scope},
    people::{Account, LogInError, NewToken, TokenInfo},
};

impl From<LogInError> for DeskError {
    fn from(error: LogInError) -> Self {
        match error {
            LogInError::Wrong(problem) => DeskError::Wrong { field: "user", problem },
            LogInError::Busy | LogInError::Wait(_) => DeskError::Busy(error.to_string()),
            LogInError::Refused => DeskError::NotFound("user"),
            LogInError::Failed(problem) => DeskError::Failed(problem),
        }
    }
}

impl Desk {
    pub async fn users(&self, actor: &Actor) -> Done<Vec<Account>> {
        self.need(actor, Scope::Admin)?;
        Ok(self.people.accounts().await?)
    }

    /// The secret of a one-time link with which the new user chooses a password.
    pub async fn add_user(&self, actor: &Actor, name: &str, role: Role) -> Done<String> {
        self.need(actor, Scope::Admin)?;
        Ok(self.people.add(actor, name, role).await?)
    }

    pub async fn change_user(&self, actor: &Actor, name: &str, role: Option<Role>, disabled: Option<bool>) -> Done<()> {
        self.need(actor, Scope::Admin)?;
        Ok(self.people.change(actor, name, role, disabled).await?)
    }

    pub async fn reset_user(&self, actor: &Actor, name: &str) -> Done<String> {
        self.need(actor, Scope::Admin)?;
        Ok(self.people.reset(actor, name).await?)
    }

    pub async fn tokens(&self, actor: &Actor) -> Done<Vec<TokenInfo>> {
        self.need(actor, Scope::Admin)?;
        Ok(self.people.tokens().await?)
    }

    /// The token itself is shown this once.
    pub async fn add_token(&self, actor: &Actor, new: &NewToken) -> Done<(String, TokenInfo)> {
        self.need(actor, Scope::Admin)?;
        // A token makes no tokens beyond its own reach.
        if let Some(missing) = new.scopes.iter().find(|scope| !actor.may(**scope)) {
            return Err(DeskError::Forbidden(*missing));
        }
        Ok(self.people.add_token(actor, new).await?)
    }

    pub async fn remove_token(&self, actor: &Actor, id: i64) -> Done<()> {
        self.need(actor, Scope::Admin)?;
        if self.people.remove_token(actor, id).await? { Ok(()) } else { Err(DeskError::NotFound("token")) }
    }
}
