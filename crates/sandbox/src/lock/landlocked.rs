//! Landlock with every right handled and none granted: no path can be opened, run, made or removed, no TCP port bound or
//! connected, no abstract socket reached, no signal sent outside.

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope};

/// The newest rights this build knows; older kernels enforce what they know of them.
const NEWEST: ABI = ABI::V6;

pub fn forbid_all_paths() -> Result<(), String> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|rules| rules.scope(Scope::from_all(NEWEST)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self())
        .map_err(|error| error.to_string())?;
    match status.ruleset {
        // A kernel that knows only files forbids files; the network is the namespace's and the filter's matter.
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("not in this kernel, or switched off".to_owned()),
    }
}
