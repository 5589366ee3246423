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

    /// Whether it concerns a member.
    pub fn selects(&self, pool: &str, name: &str, address: IpAddr, region: Option<&str>) -> bool {
        if let Some(wanted) = self.0.strip_prefix("region:") {
            return region.is_some_and(|region| matches(wanted, region));
        }
        // Names may have a `/` themselves.
        let is_of_pool = |(of, member): (&str, &str)| matches(of, pool) && is_member(member, name, address);
        is_member(&self.0, name, address)
            || self.0.match_indices('/').any(|(at, _)| is_of_pool((&self.0[..at], &self.0[at + 1..])))
    }

    /// The same for a member that is known in several pools, each with its name there.
    pub fn selects_any(&self, known_as: &[(&str, &str)], address: IpAddr, region: Option<&str>) -> bool {
        known_as.iter().any(|(pool, name)| self.selects(pool, name, address, region))
    }
}

fn is_member(pattern: &str, name: &str, address: IpAddr) -> bool {
    matches(pattern, name) || pattern.parse() == Ok(address) || matches(pattern, &address.to_string())
}

/// Whether a text is what a pattern with `*` and `?` says. In time of at most the product of the two.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
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
            if !one.target.selects_any(known_as, address, region) {
                continue;
            }
            let state = match one.order {
                Order::Up => State::Up,
                Order::Down => State::Down,
                Order::Drain => {
                    effect.drain = true;
                    continue;
                }
                Order::Disable => {
                    effect.weight = Some(0);
                    continue;
                }
                Order::Weight(weight) => {
                    effect.weight = Some(weight);
                    continue;
                }
            };
            effect.state = Some(state);
            effect.since_secs = u32::try_from(one.created_secs).unwrap_or(u32::MAX);
        }
        effect
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
        assert_eq!(effect, Effect { state: Some(State::Up), since_secs: 52, drain: true, weight: Some(7) });
        assert_eq!(Effect::of(&list, member, 100).state, Some(State::Down));
        assert!(!Effect::of(&list[1..2], member, 100).is_any());
        assert_eq!(Overrides { list: list.into() }.next_end_secs(99), Some(100));
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
