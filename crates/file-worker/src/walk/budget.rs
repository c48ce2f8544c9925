//! Every bound of the walk, and the ledger that holds against it.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Bounds on what one file may cost. `[files.limits]` in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How deep archives in archives are followed.
    pub depth_max: usize,
    /// How many things (archive entries, attachments, streams) one file may hold altogether.
    pub entries_max: usize,
    /// Bytes one unpacked thing may have.
    pub thing_bytes_max: u64,
    /// Bytes unpacked from one file, all levels together.
    pub unpacked_bytes_max: u64,
    /// Bytes unpacked that are held at the same time.
    pub held_bytes_max: u64,
    /// More than this many bytes out for each byte in is a bomb, once `bomb_bytes_min` came out.
    pub ratio_max: u64,
    /// Below this much output nothing is called a bomb.
    pub bomb_bytes_min: u64,
    /// Time for one file.
    pub milliseconds_max: u64,
    /// Findings, gaps, links and texts in one report, each.
    pub findings_max: usize,
    pub gaps_max: usize,
    pub links_max: usize,
    pub texts_max: usize,
    /// Characters of one found link or text.
    pub found_chars_max: usize,
    /// How many passwords are tried on one encrypted thing.
    pub passwords_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth_max: 12,
            entries_max: 10_000,
            thing_bytes_max: 128 << 20,
            unpacked_bytes_max: 384 << 20,
            held_bytes_max: 192 << 20,
            ratio_max: 250,
            bomb_bytes_min: 32 << 20,
            milliseconds_max: 4_500,
            findings_max: 100,
            gaps_max: 20,
            links_max: 200,
            texts_max: 50,
            found_chars_max: 4_000,
            passwords_max: 32,
        }
    }
}

/// Why the walk goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Depth,
    Entries,
    ThingBytes,
    UnpackedBytes,
    HeldBytes,
    Ratio,
    Time,
}

impl Stop {
    pub fn as_str(self) -> &'static str {
        match self {
            Stop::Depth => "nested too deep",
            Stop::Entries => "too many entries",
            Stop::ThingBytes => "one unpacked thing is too large",
            Stop::UnpackedBytes => "too much comes out of it",
            Stop::HeldBytes => "too much would have to be held in memory",
            Stop::Ratio => "expands beyond measure",
            Stop::Time => "takes too long to look at",
        }
    }
}

/// What has been spent on this file so far.
pub(crate) struct Ledger {
    pub limits: Limits,
    pub entries: usize,
    pub unpacked: u64,
    pub held: u64,
    input_bytes: u64,
    deadline: Instant,
    /// The first bound that was hit for the whole file; nothing more is unpacked after it.
    pub stopped: Option<Stop>,
}

impl Ledger {
    pub fn new(limits: &Limits, input_bytes: u64) -> Ledger {
        Ledger {
            limits: limits.clone(),
            entries: 0,
            unpacked: 0,
            held: 0,
            input_bytes,
            deadline: Instant::now() + Duration::from_millis(limits.milliseconds_max),
            stopped: None,
        }
    }

    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the whole walk must end. Looks at the clock: call it once per block, not per byte.
    pub fn stop(&mut self) -> Option<Stop> {
        if self.stopped.is_none() && Instant::now() >= self.deadline {
            self.stopped = Some(Stop::Time);
        }
        self.stopped
    }

    pub fn count_entry(&mut self) -> Result<(), Stop> {
        self.entries += 1;
        if self.entries > self.limits.entries_max { self.end(Stop::Entries) } else { Ok(()) }
    }

    /// `bytes` more came out of `packed` bytes (0: unknown), `so_far` of this thing altogether.
    pub fn spend(&mut self, bytes: u64, so_far: u64, packed: u64) -> Result<(), Stop> {
        self.unpacked = self.unpacked.saturating_add(bytes);
        let limits = &self.limits;
        let out_of_all = self.unpacked / self.input_bytes.max(1);
        let out_of_this = so_far.checked_div(packed).unwrap_or(0);
        if self.unpacked > limits.bomb_bytes_min && out_of_all > limits.ratio_max {
            return self.end(Stop::Ratio);
        }
        if so_far > limits.bomb_bytes_min && out_of_this > limits.ratio_max {
            return self.end(Stop::Ratio);
        }
        if self.unpacked > limits.unpacked_bytes_max {
            return self.end(Stop::UnpackedBytes);
        }
        if so_far > limits.thing_bytes_max {
            return Err(Stop::ThingBytes); // the rest of the archive is still looked at
        }
        if self.held.saturating_add(so_far) > limits.held_bytes_max {
            return Err(Stop::HeldBytes);
        }
        match self.stop() {
            Some(stop) => Err(stop),
            None => Ok(()),
        }
    }

    fn end(&mut self, stop: Stop) -> Result<(), Stop> {
        self.stopped = Some(stop);
        Err(stop)
    }
}
