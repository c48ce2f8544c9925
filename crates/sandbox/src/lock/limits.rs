//! Resource limits: what a runaway parser can take before the kernel ends it.

use super::LockConfig;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Descriptors: standard input, the file under scan, and room for none other.
const DESCRIPTORS_MAX: u64 = 4;

pub fn set(config: LockConfig) -> Result<(), String> {
    let limits = [
        (Resource::As, config.memory_bytes_max),
        (Resource::Cpu, config.cpu_seconds),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))?;
    }
    Ok(())
}
