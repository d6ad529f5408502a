//! Runs with faults that concentrate on one replica.

use super::{Event, LINGER, PROXIES, SERVE_STALE, Simulation, Time};

/// What the events of a run concentrate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Focus {
    /// Nothing: faults and moves are independent.
    None,
    /// A replica that is cut off when the entry is committed, the proxies that still connect to it, and their absence
    /// afterwards. Independent faults meet in this order in less than one of 100,000 runs.
    CutReplica,
}

/// How long after the commit a focused run has no other faults than those of its focus.
const FOCUSED: Time = 90_000;

impl Simulation {
    pub(super) fn commit(&mut self) {
        self.head = 1;
        if self.focus == Focus::CutReplica {
            let live: Vec<usize> = (0..self.replicas.len()).filter(|number| self.is_current(*number)).collect();
            if live.len() > 1 {
                let number = self.one_of(&live);
                self.replicas[number].cut_until = self.now + 120_000;
                self.cut = Some(number);
            }
        }
    }

    /// Whether a replica runs, and reads the log.
    pub(super) fn is_current(&self, number: usize) -> bool {
        let replica = &self.replicas[number];
        !replica.dead && self.now >= replica.paused_until && self.now >= replica.cut_until
    }

    /// Whether a replica refuses proxies, because it was without the store for too long. After that it serves again only when
    /// its report is stored, which focused runs model: a reader no longer waits for it.
    pub(super) fn is_expired(&self, number: usize, is_without_store: bool) -> bool {
        let silent = self.now - self.replicas[number].reported;
        is_without_store || (self.focus == Focus::CutReplica && silent > SERVE_STALE)
    }

    /// The replica that a focused run has cut off, while the run has no other faults.
    pub(super) fn focused(&self) -> Option<usize> {
        self.cut.filter(|_| self.now < self.committed_at + FOCUSED)
    }

    /// A proxy of the replica that was cut off loses its stream, and is away for almost as long as the gate waits for it.
    pub(super) fn focused_flap(&mut self, cut: usize) {
        let of_cut: Vec<usize> = (0..PROXIES).filter(|proxy| self.proxies[*proxy].replica == Some(cut)).collect();
        if self.now < self.committed_at + SERVE_STALE + 5_000 && !of_cut.is_empty() {
            let proxy = self.one_of(&of_cut);
            self.after(100, Event::Notice(cut, proxy, self.proxies[proxy].since));
            if self.percent(50) {
                self.reconnect(proxy, 200, 5_000);
            } else {
                self.reconnect(proxy, LINGER - 15_000, LINGER - 2_000);
            }
        }
        let delay = self.between(1_000, 6_000);
        self.after(delay, Event::Flap);
    }
}
