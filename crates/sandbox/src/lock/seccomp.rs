//! The system calls a locked worker may make, and nothing else: any other ends it on the spot.
//!
//! [`ALLOWED`] is the whole list, each with the code that needs it. A test runs the worker's real work under the filter,
//! others try what is not on the list.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;

/// One line of the list.
#[derive(Clone, Copy, Debug)]
pub struct AllowedCall {
    pub number: i64,
    pub name: &'static str,
    pub when: When,
    /// Which code needs it.
    pub why: &'static str,
}

/// What the arguments must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// The first argument is descriptor 0, the socket to the gateway.
    OnSocket,
    /// The second argument is `F_GETFD`.
    ReadsFlags,
    /// The third argument asks for no executable memory.
    NotExecutable,
}

/// The whole list.
pub const ALLOWED: &[AllowedCall] = &[
    call(libc::SYS_recvmsg, "recvmsg", When::OnSocket, "child::serve takes a job and the file's descriptor"),
    call(libc::SYS_sendto, "sendto", When::OnSocket, "child::serve sends the report"),
    call(libc::SYS_close, "close", When::Always, "the file's descriptor, once it is mapped"),
    call(libc::SYS_fcntl, "fcntl", When::ReadsFlags, "std looks before it closes a descriptor, in debug builds"),
    call(libc::SYS_fstat, "fstat", When::Always, "child::serve asks how long the file is"),
    call(libc::SYS_mmap, "mmap", When::NotExecutable, "sys::Mapped maps the file; the allocator takes large blocks"),
    call(libc::SYS_munmap, "munmap", When::Always, "sys::Mapped and the allocator give them back"),
    call(libc::SYS_mremap, "mremap", When::Always, "the allocator grows a large block; rights stay as they were"),
    call(libc::SYS_mprotect, "mprotect", When::NotExecutable, "the allocator trims its arena"),
    call(libc::SYS_madvise, "madvise", When::Always, "the allocator gives pages back"),
    call(libc::SYS_brk, "brk", When::Always, "the allocator grows the heap"),
    call(libc::SYS_futex, "futex", When::Always, "std's locks and once-cells"),
    call(
        libc::SYS_clock_gettime,
        "clock_gettime",
        When::Always,
        "the walk's time budget, where the kernel offers no clock in user space",
    ),
    call(libc::SYS_getrandom, "getrandom", When::Always, "std seeds its hash maps"),
    call(libc::SYS_restart_syscall, "restart_syscall", When::Always, "the kernel resumes a wait after a stop signal"),
    call(
        libc::SYS_rt_sigreturn,
        "rt_sigreturn",
        When::Always,
        "the kernel returns from a signal handler (std's stack guard)",
    ),
    call(libc::SYS_exit_group, "exit_group", When::Always, "the end"),
];

const fn call(number: i64, name: &'static str, when: When, why: &'static str) -> AllowedCall {
    AllowedCall { number, name, when, why }
}

/// Puts the filter on.
pub fn apply() -> Result<(), String> {
    let program = compile()?;
    apply_filter(&program).map_err(|error| error.to_string())
}

fn compile() -> Result<BpfProgram, String> {
    let mut rules = BTreeMap::new();
    for call in ALLOWED {
        rules.insert(call.number, rules_of(call).map_err(|error| error.to_string())?);
    }
    let architecture =
        std::env::consts::ARCH.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())
}

/// No rule for a call means that it is allowed whatever its arguments.
fn rules_of(call: &AllowedCall) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const PROT_EXEC: u64 = libc::PROT_EXEC as u64;
    let condition = match call.when {
        When::Always => return Ok(Vec::new()),
        When::OnSocket => SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?,
        When::ReadsFlags => SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::F_GETFD as u64)?,
        When::NotExecutable => SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(PROT_EXEC), 0)?,
    };
    Ok(vec![SeccompRule::new(vec![condition])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_compiles_is_short_and_says_why() {
        compile().unwrap();
        assert!(ALLOWED.len() <= 20, "each call more is a way out more");
        assert!(ALLOWED.iter().all(|call| call.why.len() > 6));
    }

    #[test]
    fn nothing_that_opens_connects_or_starts_is_on_the_list() {
        let forbidden = [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_execve,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_write,
            libc::SYS_io_uring_setup,
            libc::SYS_bpf,
            libc::SYS_process_vm_readv,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_prctl,
        ];
        for call in forbidden {
            assert!(ALLOWED.iter().all(|allowed| allowed.number != call), "call {call} is allowed");
        }
    }
}
