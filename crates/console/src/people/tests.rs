//! Log-in from end to end, without HTTP.

use super::*;
use crate::{actor::Role, audit::Audit};

async fn people(second_step: bool) -> (People, Audit) {
    let store = Store::in_memory(&[1; 32]).unwrap();
    let audit = Audit::new(store.clone());
    let config = Config { second_step, ..Config::default() };
    (People::new(store, audit.clone(), &config), audit)
}
