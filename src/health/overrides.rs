//! What an operator has decided over members, before whatever probes say: whom it concerns, and what it comes to. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use crate::state::health_table::State;

/// Overrides at once: each is compared with every member, rarely.
pub const MAX_OVERRIDES: usize = 256;

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// UP, whatever probes say.
    Up,
    /// DOWN, whatever probes say.
    Down,
    /// No new clients, but for want of anybody else.
    Drain,
    /// As if not listed.
    Disable,
    /// Another weight, at most 65,535.
    Weight(u32),
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// By which it is named when it is removed; never given twice.
    pub id: u64,
    /// Whom it concerns.
    pub target: Selector,
    /// What is decided.
    pub order: Order,
    /// Why.
    pub reason: String,
    /// By whom.
    pub owner: String,
    /// When it was made, in seconds of the Unix epoch.
    pub created_secs: u64,
    /// When it ends; `None`: when it is removed.
    pub expires_secs: Option<u64>,
}

impl Override {
    /// Whether it holds at this time.
    pub fn holds(&self, now_secs: u64) -> bool {
        self.expires_secs.is_none_or(|expires_secs| now_secs < expires_secs)
    }
}

/// Whom an override concerns, as it was written: `NAME`, `ADDRESS`, `POOL/NAME`, `POOL/ADDRESS`, each with `*` (any text) and `?`
/// (any character), or `region:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(String);

impl Selector {
    /// Octets at most.
    pub const MAX_OCTETS: usize = 600;

    /// Of this text; `None` when it is empty or too long.
    pub fn new(text: &str) -> Option<Selector> {
        (1..=Selector::MAX_OCTETS).contains(&text.len()).then(|| Selector(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What of it is to be compared with members of this pool.
    pub(super) fn in_pool<'s>(&'s self, pool: &str) -> InPool<'s> {
        if let Some(wanted) = self.0.strip_prefix("region:") {
            return InPool::Region(wanted);
        }
        // Names may have a `/` themselves.
        let parts = self.0.match_indices('/').map(|(at, _)| (&self.0[..at], &self.0[at + 1..]));
        let of_pool = parts.filter(|(of, _)| matches(of, pool)).map(|(_, member)| member);
        InPool::Members(std::iter::once(&*self.0).chain(of_pool).map(Pattern::new).collect())
    }

    /// Whether it concerns a member.
    pub fn selects(&self, pool: &str, name: &str, address: IpAddr, region: Option<&str>) -> bool {
        self.in_pool(pool).selects(name, address, region)
    }

    /// The same for a member that is known in several pools, each with its name there.
    pub fn selects_any(&self, known_as: &[(&str, &str)], address: IpAddr, region: Option<&str>) -> bool {
        known_as.iter().any(|(pool, name)| self.selects(pool, name, address, region))
    }
}

/// What of a selector is to be compared with the members of a pool.
pub(super) enum InPool<'s> {
    /// Their region.
    Region(&'s str),
    /// Their name or address, in any of these ways.
    Members(Vec<Pattern<'s>>),
}

impl InPool<'_> {
    /// Whether a member of the pool is meant.
    pub(super) fn selects(&self, name: &str, address: IpAddr, region: Option<&str>) -> bool {
        match self {
            InPool::Region(wanted) => region.is_some_and(|region| matches(wanted, region)),
            InPool::Members(patterns) => patterns.iter().any(|pattern| pattern.is_of(name, address)),
        }
    }
}

/// A name or an address, or a pattern of one.
pub(super) struct Pattern<'s> {
    text: &'s str,
    address: Option<IpAddr>,
    /// Whether an address may look like this without being written as one.
    is_of_addresses: bool,
}

impl<'s> Pattern<'s> {
    fn new(text: &'s str) -> Pattern<'s> {
        let is_pattern = text.contains(['*', '?']);
        let is_of_addresses =
            is_pattern && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f' | ':' | '.' | '*' | '?'));
        Pattern { text, address: text.parse().ok(), is_of_addresses }
    }

    fn is_of(&self, name: &str, address: IpAddr) -> bool {
        matches(self.text, name)
            || self.address == Some(address)
            || (self.is_of_addresses && matches(self.text, &address.to_string()))
    }
}

/// Whether a text is what a pattern with `*` and `?` says. In time of at most the product of the two.
fn matches(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == text;
    }
    let width = |text: &str| text.chars().next().map_or(1, char::len_utf8);
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(found) = text[t..].chars().next() {
        match pattern[p..].chars().next() {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if c == '?' || c == found => (p, t) = (p + c.len_utf8(), t + found.len_utf8()),
            _ => {
                let Some((at, taken)) = star else { return false };
                let taken = taken + width(&text[taken..]);
                star = Some((at, taken));
                (p, t) = (at + 1, taken);
            }
        }
    }
    pattern[p..].chars().all(|c| c == '*')
}

/// What is decided over one member; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The state in place of the probes'.
    pub(super) state: Option<State>,
    /// Since when that holds, in seconds of the Unix epoch.
    pub(super) since_secs: u32,
    /// Whether it gets no new clients.
    pub(super) drain: bool,
    /// The weight in place of the configured one; 0: as if disabled.
    pub(super) weight: Option<u32>,
    /// When the decision over its state ends, in seconds of the Unix epoch; `None`: when it is taken back.
    pub(super) ends_secs: Option<u64>,
}

impl Effect {
    /// Whether anything is decided.
    pub(super) fn is_any(&self) -> bool {
        self.state.is_some() || self.drain || self.weight.is_some()
    }

    /// What these decide over a member, which is known in these pools by these names; where two decide the same, the later one.
    pub(super) fn of(
        overrides: &[Override],
        (known_as, address, region): (&[(&str, &str)], IpAddr, Option<&str>),
        now_secs: u64,
    ) -> Effect {
        let mut effect = Effect::default();
        for one in overrides.iter().filter(|one| one.holds(now_secs)) {
            if one.target.selects_any(known_as, address, region) {
                effect.take(one);
            }
        }
        effect
    }

    /// Has one more decision count, a later one than those before.
    pub(super) fn take(&mut self, one: &Override) {
        let state = match one.order {
            Order::Up => State::Up,
            Order::Down => State::Down,
            Order::Drain => {
                self.drain = true;
                return;
            }
            Order::Disable => {
                self.weight = Some(0);
                return;
            }
            Order::Weight(weight) => {
                self.weight = Some(weight);
                return;
            }
        };
        self.state = Some(state);
        self.since_secs = u32::try_from(one.created_secs).unwrap_or(u32::MAX);
        self.ends_secs = one.expires_secs;
    }

    /// Where its state is decided, the least number of seconds until that can end, 0 for never; and when to ask again: until
    /// then it is no longer than what is left. Half of what is left, so a decision is written some twenty times at most.
    pub(super) fn flip_secs(&self, now_ms: u64) -> (u16, Option<u64>) {
        let Some(ends_secs) = self.ends_secs else { return (0, None) };
        let left_secs = ends_secs.saturating_sub(now_ms / 1000);
        let told_secs = u16::try_from(left_secs / 2).unwrap_or(u16::MAX);
        let again_ms = now_ms + (left_secs - u64::from(told_secs)) * 1000;
        (told_secs.max(1), (told_secs > 0).then_some(again_ms))
    }
}

/// All that are made, and the members each of them concerns.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// In the order in which they were made.
    pub list: Arc<[Override]>,
}

impl Overrides {
    /// When the next one ends.
    pub(super) fn next_end_secs(&self, now_secs: u64) -> Option<u64> {
        self.list.iter().filter_map(|one| one.expires_secs).filter(|secs| *secs > now_secs).min()
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selects(target: &str) -> bool {
        Selector::new(target).unwrap().selects("web", "web1-dc1", "192.0.2.1".parse().unwrap(), Some("dc1"))
    }

    #[test]
    fn members_are_selected_by_name_address_region_pool_or_pattern() {
        for target in [
            "web1-dc1",
            "192.0.2.1",
            "region:dc1",
            "web/web1-dc1",
            "web/192.0.2.1",
            "web/*",
            "*-dc1",
            "w?b/web?-*",
            "192.0.2.*",
            "region:dc*",
            "*",
        ] {
            assert!(selects(target), "{target}");
        }
        for target in
            ["web1", "192.0.2.10", "region:dc2", "api/*", "web/web2-*", "web", "*-dc2", "web/", "/*"]
        {
            assert!(!selects(target), "{target}");
        }
        assert_eq!(Selector::new(""), None);
        let v6 = Selector::new("2001:DB8:0::1").unwrap();
        assert!(v6.selects("p", "m", "2001:db8::1".parse().unwrap(), None), "however it is written");
    }

    #[test]
    fn later_overrides_stand_before_earlier_ones_and_ended_ones_do_not_count() {
        let one = |id, order, expires_secs| Override {
            id,
            target: Selector::new("*").unwrap(),
            order,
            reason: String::new(),
            owner: String::new(),
            created_secs: 50 + id,
            expires_secs,
        };
        let list = [
            one(1, Order::Down, None),
            one(2, Order::Up, Some(100)),
            one(3, Order::Drain, None),
            one(4, Order::Weight(7), None),
        ];
        let member = (&[("p", "m")][..], IpAddr::from([192, 0, 2, 1]), None);
        let effect = Effect::of(&list, member, 99);
        let expected = Effect {
            state: Some(State::Up),
            since_secs: 52,
            drain: true,
            weight: Some(7),
            ends_secs: Some(100),
        };
        assert_eq!(effect, expected);
        assert_eq!(Effect::of(&list, member, 100).state, Some(State::Down));
        assert!(!Effect::of(&list[1..2], member, 100).is_any());
        assert_eq!(Overrides { list: list.into() }.next_end_secs(99), Some(100));
    }

    #[test]
    fn decision_that_ends_is_told_of_ahead_and_never_for_longer_than_it_lasts() {
        let effect = Effect { state: Some(State::Down), ends_secs: Some(1_000_000), ..Effect::default() };
        assert_eq!(Effect { ends_secs: None, ..effect }.flip_secs(0), (0, None));
        let (mut now_ms, mut count) = (0, 0);
        while let (told_secs, Some(again_ms)) = effect.flip_secs(now_ms) {
            assert!(again_ms > now_ms && again_ms / 1000 + u64::from(told_secs) <= 1_000_000, "{now_ms}");
            (now_ms, count) = (again_ms, count + 1);
        }
        assert!(now_ms >= 998_000 && count < 40, "{now_ms} after {count}");
        assert_eq!(effect.flip_secs(now_ms).0, 1);
    }

    proptest! {
        #[test]
        fn patterns_match_as_the_same_regular_expression_does(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let regex = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            let expected = regex::bytes::Regex::new(&regex).unwrap().is_match(text.as_bytes());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}
