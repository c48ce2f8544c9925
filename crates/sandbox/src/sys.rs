//! The few system calls that std and rustix do not wrap safely for this purpose. But for the allocator and one call in `lock`,
//! all `unsafe` of the project is here.

#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::{io, ptr};

/// A file's bytes in memory, read-only, for as long as this lives.
pub struct Mapped {
    at: *mut core::ffi::c_void,
    length: usize,
}

impl Mapped {
    /// Maps the first `length` bytes of `file`, which must be sealed against shrinking: the gateway seals it before it
    /// sends it, so no access beyond its end can fault.
    pub fn of_sealed(file: BorrowedFd<'_>, length: usize) -> io::Result<Mapped> {
        if length == 0 {
            return Ok(Mapped { at: ptr::NonNull::dangling().as_ptr(), length });
        }
        use rustix::mm::{MapFlags, ProtFlags};
        // SAFETY: a fresh private mapping at an address the kernel chooses aliases no Rust object.
        let at = unsafe { rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)? };
        Ok(Mapped { at, length })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `at` is valid for `length` bytes until `drop` (dangling but aligned for length 0); the memory file is
        // sealed against writing and shrinking, so the bytes neither change nor vanish.
        unsafe { std::slice::from_raw_parts(self.at.cast::<u8>(), self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: exactly the mapping made in `of_sealed`; `bytes` borrows from `self`, so no slice outlives it.
            let _ = unsafe { rustix::mm::munmap(self.at, self.length) };
        }
    }
}

/// Closes every descriptor but standard input. For the start of the child, before it opened anything.
pub fn close_all_but_input() {
    // SAFETY: the child runs one thread and has made no object that owns a descriptor other than 0; whatever else is
    // open was inherited.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 1u32, u32::MAX, 0u32) != 0 {
            (1..1024).for_each(|fd| {
                libc::close(fd);
            });
        }
    }
}

/// Ends the process without running anything more.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}
