//! Whether it is the prober that fails: a pure function of outcomes and time.
//!
//! Many unrelated targets that fail at once are more likely one fault here than many there. While that is so, verdicts are
//! *frozen*: every state stays the last good one. What counts are addresses: one whose UP targets all fail is one failure.
//!
//! It freezes when
//! * more than `share` of the addresses that are UP, and at least `min_targets` of them, began to fail within `window` (whatever
//!   canaries said before: they are asked again within their interval, and until then nothing is lost by waiting); or
//! * the last canary that answered fails, so that none does; canaries that never answered prove nothing.
//!
//! It thaws, never by time alone, when by probes begun since it froze
//! * half of the canaries have answered: then those targets really fail; or
//! * `thaw_share` of the addresses that are UP have a target that answers.
//!
//! What fell DOWN within the window before a freeze is UP again with it. After a thaw, failures begun before it count for
//! nothing, and no address counts as failing again before it has answered once: so a thaw by canaries lasts, and what is
//! really down is DOWN after its retries. Without canaries, targets that are really down keep it frozen for as long as they are
//! more than the share: only canaries tell the two apart.

use std::collections::VecDeque;

/// When to freeze and to thaw. Shares are hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Share of addresses that may fail within the window.
    pub share_percent: u8,
    /// Share of addresses that must answer for a thaw.
    pub thaw_percent: u8,
    /// Time within which failures belong together.
    pub window_ms: u64,
    /// Fewer failing addresses prove nothing.
    pub min_targets: u32,
}

/// A target to be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Number of its address, below the number of different ones.
    pub seat: u32,
    /// Whether it is a canary: probed for this alone. Such a one has no state that counts.
    pub is_canary: bool,
    /// Whether it is UP.
    pub is_up: bool,
}

/// What an outcome came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing else.
    Stay,
    /// Verdicts are frozen from now on.
    Freeze(Cause),
    /// They count again.
    Thaw(Cause),
}

/// What it was that turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The canaries.
    Canaries,
    /// The share of addresses.
    Share,
}

/// Figures for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Addresses that are UP.
    pub addresses: u32,
    /// Of these, those that began to fail together.
    pub failing: u32,
    /// Canaries.
    pub canaries: u32,
    /// Of these, those whose last probe failed.
    pub canaries_failing: u32,
}

/// What is known of a target.
#[derive(Clone, Copy, Debug)]
struct Slot {
    seat: u32,
    is_canary: bool,
    /// As in force.
    is_up: bool,
    /// Whether it counts among those that are UP: it is, or fell within the window.
    counts: bool,
    /// When its present row of failures began.
    run_ms: Option<u64>,
    /// Whether that row is one of those that count together.
    is_failing: bool,
    /// Whether it answered a probe begun since the last freeze; of a canary, since `canary_bar_ms`.
    has_proved: bool,
    /// When the last probe that it answered began.
    answered_ms: Option<u64>,
}

/// What is known of an address: how many of its targets count, fail, and have proved themselves.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    counted: u32,
    failing: u32,
    proved: u32,
}

impl Seat {
    fn is_counted(self) -> bool {
        self.counted > 0
    }
    fn is_failing(self) -> bool {
        self.counted > 0 && self.failing >= self.counted
    }
    fn is_proved(self) -> bool {
        self.counted > 0 && self.proved > 0
    }
}

/// The watch over all targets of a plan.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    rules: Option<Rules>,
    slots: Vec<Slot>,
    seats: Vec<Seat>,
    /// Beginnings of rows of failures that count together, in order, with the target.
    recent: VecDeque<(u64, u32)>,
    addresses: u32,
    failing: u32,
    proved: u32,
    canaries: Vec<usize>,
    canaries_failing: u32,
    frozen_ms: Option<u64>,
    thawed_ms: Option<u64>,
}

impl Guard {
    /// A watch over these targets; one that was frozen goes on so. Without rules it never freezes.
    pub fn new(rules: Option<Rules>, watched: impl IntoIterator<Item = Watched>, before: &Guard) -> Guard {
        let mut guard = Guard {
            rules,
            frozen_ms: before.frozen_ms.filter(|_| rules.is_some()),
            thawed_ms: before.thawed_ms,
            ..Guard::default()
        };
        for Watched { seat, is_canary, is_up } in watched {
            guard.canaries.extend(is_canary.then_some(guard.slots.len()));
            guard.seats.resize(guard.seats.len().max(seat as usize + 1), Seat::default());
            guard.slots.push(Slot {
                seat,
                is_canary,
                is_up: false,
                counts: false,
                run_ms: None,
                is_failing: false,
                has_proved: false,
                answered_ms: None,
            });
            guard.note_state(guard.slots.len() - 1, is_up);
        }
        guard
    }

    /// Takes over what was known of targets that live on: pairs of the number here and the number there.
    pub fn take_over(&mut self, before: &Guard, pairs: impl IntoIterator<Item = (usize, usize)>) {
        if self.rules.is_none() {
            return;
        }
        let mut here: Vec<Option<u32>> = vec![None; before.slots.len()];
        for (new, old) in pairs {
            let Some(was) = before.slots.get(old).copied() else { continue };
            here[old] = Some(new as u32);
            let slot = &mut self.slots[new];
            (slot.run_ms, slot.answered_ms) = (was.run_ms, was.answered_ms);
            self.canaries_failing += u32::from(slot.is_canary && was.run_ms.is_some());
            let counts = slot.is_up || was.is_failing;
            self.set_failing(new, was.is_failing);
            self.set_counts(new, counts);
            self.set_proved(new, was.has_proved);
        }
        let moved = before.recent.iter().filter_map(|(ms, old)| Some((*ms, here[*old as usize]?)));
        self.recent.extend(moved);
    }

    /// Whether verdicts are frozen, and since when.
    pub fn frozen_ms(&self) -> Option<u64> {
        self.frozen_ms
    }

    /// Whether a failure of a probe begun then says nothing: it may be of the time before the thaw.
    pub fn is_outdated(&self, started_ms: u64) -> bool {
        self.thawed_ms.is_some_and(|thawed_ms| started_ms <= thawed_ms)
    }

    /// Figures for people.
    pub fn figures(&self) -> Figures {
        Figures {
            addresses: self.addresses,
            failing: self.failing,
            canaries: self.canaries.len() as u32,
            canaries_failing: self.canaries_failing,
        }
    }

    /// Targets that fell DOWN within the window: to be UP again when it freezes.
    pub fn fallen(&self) -> Vec<usize> {
        let fallen = |slot: &Slot| slot.counts && !slot.is_up && slot.is_failing;
        self.slots.iter().enumerate().filter(|(_, slot)| fallen(slot)).map(|(index, _)| index).collect()
    }

    /// Takes one outcome of a probe into account, before the target's state is changed by it.
    pub fn observe(&mut self, target: usize, succeeded: bool, started_ms: u64, now_ms: u64) -> Turn {
        let Some(rules) = self.rules else { return Turn::Stay };
        self.forget_before(now_ms.saturating_sub(rules.window_ms));
        let slot = &mut self.slots[target];
        let begins = !succeeded && slot.run_ms.is_none();
        let ends = succeeded && slot.run_ms.is_some();
        if succeeded {
            slot.run_ms = None;
            slot.answered_ms = Some(started_ms);
        } else {
            slot.run_ms = slot.run_ms.or(Some(now_ms));
        }
        if slot.is_canary {
            self.canaries_failing = self.canaries_failing + u32::from(begins) - u32::from(ends);
        }
        let counts = slot.counts;
        if succeeded {
            self.set_failing(target, false);
            let is_up = self.slots[target].is_up;
            self.set_counts(target, is_up);
        } else if begins && counts {
            self.set_failing(target, true);
            // While frozen nothing is judged by it, and a thaw forgets it.
            if self.frozen_ms.is_none() {
                self.recent.push_back((now_ms, target as u32));
            }
        }
        let is_since = self.frozen_ms.is_some_and(|frozen_ms| started_ms > frozen_ms);
        self.set_proved(target, succeeded && is_since);
        self.judge(rules, target, begins, now_ms)
    }

    /// Takes the state into account that a target has from now on.
    pub fn note_state(&mut self, target: usize, is_up: bool) {
        let slot = &mut self.slots[target];
        slot.is_up = is_up;
        let counts = is_up || slot.is_failing;
        self.set_counts(target, counts);
    }

    fn judge(&mut self, rules: Rules, target: usize, begins: bool, now_ms: u64) -> Turn {
        if let Some(frozen_ms) = self.frozen_ms {
            let cause = if self.half_answered_since(frozen_ms) {
                Cause::Canaries
            } else if self.addresses > 0
                && u64::from(self.proved) * 100 >= u64::from(self.addresses) * u64::from(rules.thaw_percent)
            {
                Cause::Share
            } else {
                return Turn::Stay;
            };
            self.thaw(now_ms);
            return Turn::Thaw(cause);
        }
        if !begins {
            return Turn::Stay;
        }
        let no_canary = self.slots[target].is_canary
            && self.canaries_failing as usize == self.canaries.len()
            && self.canaries.iter().any(|canary| self.slots[*canary].answered_ms.is_some());
        let is_over =
            u64::from(self.failing) * 100 > u64::from(self.addresses) * u64::from(rules.share_percent);
        let cause = if no_canary {
            Cause::Canaries
        } else if is_over && self.failing >= rules.min_targets {
            Cause::Share
        } else {
            return Turn::Stay;
        };
        self.frozen_ms = Some(now_ms);
        for target in 0..self.slots.len() {
            self.set_proved(target, false);
        }
        Turn::Freeze(cause)
    }

    /// Whether half of the canaries, and one at least, answered probes begun after this, and answer still.
    fn half_answered_since(&self, ms: u64) -> bool {
        let is_well = |canary: &&usize| {
            let slot = &self.slots[**canary];
            slot.run_ms.is_none() && slot.answered_ms.is_some_and(|at| at > ms)
        };
        let well = self.canaries.iter().filter(is_well).count();
        well > 0 && well * 2 >= self.canaries.len()
    }

    /// Begins anew: what fails still is known, and counts again once it has answered.
    fn thaw(&mut self, now_ms: u64) {
        self.frozen_ms = None;
        self.thawed_ms = Some(now_ms);
        self.recent.clear();
        for target in 0..self.slots.len() {
            self.set_failing(target, false);
            let is_up = self.slots[target].is_up;
            self.set_counts(target, is_up);
        }
    }

    /// Rows of failures that began before this belong to no later ones; while frozen, all of them do.
    fn forget_before(&mut self, ms: u64) {
        if self.frozen_ms.is_some() {
            return;
        }
        while let Some((began_ms, target)) =
            self.recent.front().copied().filter(|(began_ms, _)| *began_ms < ms)
        {
            self.recent.pop_front();
            let target = target as usize;
            if self.slots[target].run_ms == Some(began_ms) {
                self.set_failing(target, false);
                let is_up = self.slots[target].is_up;
                self.set_counts(target, is_up);
            }
        }
    }

    fn set_failing(&mut self, target: usize, is_failing: bool) {
        if std::mem::replace(&mut self.slots[target].is_failing, is_failing) != is_failing {
            let before = self.leave(target);
            self.seats[before].failing =
                if is_failing { self.seats[before].failing + 1 } else { self.seats[before].failing - 1 };
            self.enter(before);
        }
    }

    fn set_counts(&mut self, target: usize, counts: bool) {
        if !counts {
            self.set_proved(target, false);
        }
        if std::mem::replace(&mut self.slots[target].counts, counts) != counts {
            let seat = self.leave(target);
            self.seats[seat].counted =
                if counts { self.seats[seat].counted + 1 } else { self.seats[seat].counted - 1 };
            self.enter(seat);
        }
    }

    fn set_proved(&mut self, target: usize, proved: bool) {
        // What does not count proves nothing of those that do.
        let proved = proved && self.slots[target].counts;
        if std::mem::replace(&mut self.slots[target].has_proved, proved) != proved {
            let seat = self.leave(target);
            self.seats[seat].proved =
                if proved { self.seats[seat].proved + 1 } else { self.seats[seat].proved - 1 };
            self.enter(seat);
        }
    }

    /// Takes a target's address out of the sums; returns its number.
    fn leave(&mut self, target: usize) -> usize {
        let seat = self.slots[target].seat as usize;
        let Sums { addresses, failing, proved } = Sums::of(self.seats[seat]);
        self.addresses -= addresses;
        self.failing -= failing;
        self.proved -= proved;
        seat
    }

    fn enter(&mut self, seat: usize) {
        let Sums { addresses, failing, proved } = Sums::of(self.seats[seat]);
        self.addresses += addresses;
        self.failing += failing;
        self.proved += proved;
    }
}

/// What an address adds to the sums.
struct Sums {
    addresses: u32,
    failing: u32,
    proved: u32,
}

impl Sums {
    fn of(seat: Seat) -> Sums {
        Sums {
            addresses: u32::from(seat.is_counted()),
            failing: u32::from(seat.is_failing()),
            proved: u32::from(seat.is_proved()),
        }
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests;
