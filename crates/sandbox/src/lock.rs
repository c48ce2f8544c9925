//! The locks a worker puts on itself, once, after its rules are loaded and before the first byte of a file.
//!
//! Every lock is tried; what the kernel or the container refuses is reported, not hidden. They overlap on purpose: where a
//! container forbids namespaces, the system-call filter still leaves no way to a socket.
//!
//! Order matters: privileges are dropped after what needs them, the filter comes last, since it forbids all the rest.

mod landlocked;
mod limits;
mod privileges;
pub mod seccomp;

use serde::{Deserialize, Serialize};

/// What can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lock {
    /// Own network namespace without any interface.
    NetworkNamespace,
    /// Own namespaces for IPC, host names, mounts.
    OtherNamespaces,
    /// Neither root nor any capability.
    NoPrivileges,
    /// No program run from here could gain privileges.
    NoNewPrivileges,
    /// Memory, processor time, file size, processes, descriptors.
    ResourceLimits,
    /// No path may be opened, no port bound or connected.
    Landlock,
    /// Only the listed system calls.
    SystemCallFilter,
}

/// What a worker holds, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {
    pub held: Vec<Lock>,
    pub missing: Vec<MissingLock>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingLock {
    pub lock: Lock,
    pub why: String,
}

/// How tight the numbers are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LockConfig {
    pub memory_bytes_max: u64,
    pub cpu_seconds: u64,
}

impl Lock {
    pub fn as_str(self) -> &'static str {
        match self {
            Lock::NetworkNamespace => "network namespace",
            Lock::OtherNamespaces => "other namespaces",
            Lock::NoPrivileges => "no privileges",
            Lock::NoNewPrivileges => "no new privileges",
            Lock::ResourceLimits => "resource limits",
            Lock::Landlock => "landlock",
            Lock::SystemCallFilter => "system-call filter",
        }
    }
}

impl Locks {
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The same, the filter left aside.
    #[doc(hidden)]
    pub fn is_complete_but_filter(&self) -> bool {
        self.missing.iter().all(|missing| missing.lock == Lock::SystemCallFilter)
    }

    /// `network namespace (not permitted), landlock (not in this kernel)`.
    pub fn missing_text(&self) -> String {
        let each: Vec<String> = self.missing.iter().map(|m| format!("{} ({})", m.lock.as_str(), m.why)).collect();
        each.join(", ")
    }

    fn note(&mut self, lock: Lock, result: Result<(), String>) {
        match result {
            Ok(()) => self.held.push(lock),
            Err(why) => self.missing.push(MissingLock { lock, why }),
        }
    }
}

/// Locks the calling process, which must have one thread and nothing open that it still needs to open.
pub fn lock(config: LockConfig) -> Locks {
    let mut locks = lock_all_but_filter(config);
    locks.note(Lock::SystemCallFilter, seccomp::apply());
    locks
}

/// Everything before the filter. Apart, so that tests can show that these hold without it.
#[doc(hidden)]
pub fn lock_all_but_filter(config: LockConfig) -> Locks {
    let mut locks = Locks::default();
    let (network, others) = privileges::leave_namespaces();
    locks.note(Lock::NetworkNamespace, network);
    locks.note(Lock::OtherNamespaces, others);
    locks.note(Lock::NoPrivileges, privileges::drop_all());
    locks.note(Lock::NoNewPrivileges, privileges::forbid_new());
    locks.note(Lock::ResourceLimits, limits::set(config));
    locks.note(Lock::Landlock, landlocked::forbid_all_paths());
    locks
}
