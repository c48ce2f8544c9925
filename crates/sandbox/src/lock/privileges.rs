//! Namespaces, user, capabilities, and what a parent's death and a debugger may do.

use rustix::process::{DumpableBehavior, Signal, getuid, set_dumpable_behavior, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

/// `nobody` on every Linux; owns nothing.
const NOBODY: u32 = 65534;

/// Leaves the machine's network, then its other namespaces. A process namespace is left out: it would need a fork, and no
/// process can be made here anyway.
pub fn leave_namespaces() -> (Result<(), String>, Result<(), String>) {
    let network = UnshareFlags::NEWNET;
    let others = UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWNS;
    // With privileges directly, so that root can then become nobody in earnest …
    if let (Ok(()), Ok(())) = (unshare(network), unshare(others)) {
        return (Ok(()), Ok(()));
    }
    // … without them through a user namespace, where the kernel or the container does not forbid it.
    let user = unshare(UnshareFlags::NEWUSER);
    let reason = |result: Result<(), String>| {
        result.map_err(|why| match &user {
            Ok(()) => why,
            Err(no_user) => format!("{why}; user namespace: {no_user}"),
        })
    };
    (reason(unshare(network)), reason(unshare(others)))
}

#[allow(unsafe_code)]
fn unshare(flags: UnshareFlags) -> Result<(), String> {
    // SAFETY: none of these flags unshares the descriptor table, which is what could break ownership of descriptors.
    unsafe { unshare_unsafe(flags) }.map_err(|error| error.to_string())
}

/// Neither root, nor groups, nor capabilities; not to be traced; dies with the gateway.
pub fn drop_all() -> Result<(), String> {
    // The bounding set can only shrink while the capability to shrink it is held; no harm where it is not.
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    if getuid().is_root() {
        let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        let _ = set_thread_groups(&[]);
        // Inside of a user namespace without a map there is nobody to become; the namespace itself takes root's place.
        let _ = set_thread_res_gid(gid, gid, gid);
        let _ = set_thread_res_uid(uid, uid, uid);
    }
    let none = CapabilitySet::empty();
    let cleared = set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none });
    // Both are reset by a change of user, so they come after it.
    let death = set_parent_process_death_signal(Some(Signal::KILL));
    let dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    cleared.and(death).and(dumpable).map_err(|error| error.to_string())?;
    if getuid().is_root() { Err("still root".to_owned()) } else { Ok(()) }
}

pub fn forbid_new() -> Result<(), String> {
    set_no_new_privs(true).map_err(|error| error.to_string())
}
