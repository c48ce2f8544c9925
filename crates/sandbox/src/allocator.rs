//! The program's allocator. The gateway's frees cheaply what another thread took: a message is taken in by one thread, stored
//! by a second and sent on by a third. A locked worker keeps the system's, whose few system calls the filter knows and whose
//! use of address space its limit was made for.
//!
//! Which of the two a process has is settled at its first allocation, long before `main`, and never changes.

#![allow(unsafe_code, reason = "this is what an allocator is; each block says why it holds")]

use mimalloc::MiMalloc;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// In the environment of a worker, and nothing else is.
pub(crate) const WORKER_MARK: &str = "GUARITA_WORKER";
const WORKER_MARK_C: &CStr = c"GUARITA_WORKER";

const UNSETTLED: u8 = 0;
const GATEWAY: u8 = 1;
const WORKER: u8 = 2;

/// To be the program's `#[global_allocator]`.
#[derive(Debug)]
pub struct Allocator {
    process: AtomicU8,
}

impl Allocator {
    #[allow(clippy::new_without_default, reason = "a static needs a constant function, which `Default` is not")]
    pub const fn new() -> Self {
        Allocator { process: AtomicU8::new(UNSETTLED) }
    }

    fn is_gateway(&self) -> bool {
        match self.process.load(Ordering::Relaxed) {
            UNSETTLED => self.settle() == GATEWAY,
            process => process == GATEWAY,
        }
    }

    #[cold]
    fn settle(&self) -> u8 {
        // SAFETY: the name ends with a zero byte, and the pointer that comes back is only compared with null. Nothing changes
        // the environment meanwhile: std allocates before it runs `main`, so there is one thread yet.
        let marked = unsafe { !libc::getenv(WORKER_MARK_C.as_ptr()).is_null() };
        let process = if marked { WORKER } else { GATEWAY };
        self.process.store(process, Ordering::Relaxed);
        process
    }
}

// SAFETY: every call goes on as it came to one of two allocators that each keep `GlobalAlloc`'s promises. It is the same one
// for the whole life of the process, so a block always goes back to where it is from.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    // SAFETY: as of `GlobalAlloc::alloc`, handed on.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are handed on.
        unsafe { if self.is_gateway() { MiMalloc.alloc(layout) } else { System.alloc(layout) } }
    }

    #[inline]
    // SAFETY: as of `GlobalAlloc::dealloc`, handed on.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above, and `block` is this allocator's.
        unsafe { if self.is_gateway() { MiMalloc.dealloc(block, layout) } else { System.dealloc(block, layout) } }
    }

    #[inline]
    // SAFETY: as of `GlobalAlloc::alloc_zeroed`, handed on.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are handed on.
        unsafe { if self.is_gateway() { MiMalloc.alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } }
    }

    #[inline]
    // SAFETY: as of `GlobalAlloc::realloc`, handed on.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above, and `block` is this allocator's.
        unsafe {
            if self.is_gateway() { MiMalloc.realloc(block, layout, size) } else { System.realloc(block, layout, size) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_one_word_in_both_spellings() {
        assert_eq!(WORKER_MARK_C.to_str(), Ok(WORKER_MARK));
    }

    #[test]
    fn without_the_mark_it_is_the_gateway() {
        assert!(Allocator::new().is_gateway());
    }
}
