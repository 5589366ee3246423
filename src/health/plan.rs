//! Pools to targets: what is probed, once each, and where its verdict goes.
//!
//! Made on the control thread, so that the keeper has little left to do when it adopts one: equal monitors are
//! compiled once, equal targets merged. It never touches the table it carries.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::combination::Quorum;
use super::guard;
use super::probe::Script;
use super::store::identity;
use crate::config::model::{self, Member, Monitor, Monitors, Pool, Probe, ProberGuard, UpWhen};
use crate::state::health_table::HealthTable;
use crate::state::preference::Preferences;
use crate::state::tree::{Item, Node, Tree, UpRule};

/// Programs that run at once where nothing else is said.
const EXEC_PROCESSES: u16 = 16;

/// What to probe from now on, and the table that takes the verdicts.
pub struct Plan {
    pub(super) table: Arc<HealthTable>,
    /// One for each different monitor.
    pub(super) scripts: Vec<Arc<Script>>,
    /// By script what is probed, the same in every process; `None`: nothing is.
    pub(super) identities: Vec<Option<u64>>,
    pub(super) targets: Vec<PlanTarget>,
    pub(super) pools: Box<[PlanPool]>,
    /// When it is the prober that fails.
    pub(super) guard: Option<guard::Rules>,
    /// Programs that run at once.
    pub(super) exec_processes: u16,
}

/// An address with a monitor, and every member that is one of it.
pub(super) struct PlanTarget {
    /// The address that is probed.
    pub(super) address: IpAddr,
    /// Index into [`Plan::scripts`].
    pub(super) script: u32,
    pub(super) places: Vec<Place>,
    /// Whether it tells whether this machine reaches others.
    pub(super) is_canary: bool,
}

/// A member of a pool, by the indices of the configuration and of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pool: u32,
    pub(super) member: u32,
}

/// A pool's names, for logs and the status board.
pub(super) struct PlanPool {
    pub(super) name: Arc<str>,
    pub(super) members: Box<[PlanMember]>,
    /// When it counts as up.
    pub(super) up_when: UpWhen,
    /// How that is found where it has other pools for members.
    pub(super) tree: Option<Tree>,
}

/// A member's name and targets.
pub(super) struct PlanMember {
    pub(super) name: Arc<str>,
    /// The name that is answered in its place, where the member is one.
    pub(super) cname: Option<Arc<str>>,
    /// The address that is answered.
    pub(super) address: IpAddr,
    /// One a monitor, in their order: indices into [`Plan::targets`].
    pub(super) targets: Box<[u32]>,
    /// How their verdicts are combined; `None`: there is one alone.
    pub(super) several: Option<Several>,
    /// The one of its targets that is told what is pushed.
    pub(super) pushed: Option<u32>,
    /// As configured.
    pub(super) weight: u32,
    /// As configured.
    pub(super) enabled: bool,
    /// Name of the region of its address.
    pub(super) region: Option<Arc<str>>,
    /// Name of the pool that lists it, where that is one of the members' pools.
    pub(super) origin: Option<Arc<str>>,
}

impl PlanMember {
    /// The pool that lists it and its name there, where that is one of the members' pools.
    pub(super) fn listed_as(&self) -> Option<(&str, &str)> {
        let origin = self.origin.as_deref()?;
        Some((origin, self.name.strip_prefix(origin)?.strip_prefix('/')?))
    }

    /// The pools it is known in, each with its name there.
    pub(super) fn known_as<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        std::iter::once((pool, &*self.name)).chain(self.listed_as())
    }
}

/// How the verdicts of a member's monitors are combined.
pub(super) struct Several {
    pub(super) quorum: Arc<Quorum>,
    /// Number among the members that have several monitors.
    pub(super) index: u32,
}

/// The monitors of a member: those of the pool that lists it.
fn monitors_of(pools: &[Pool], pool: usize, member: usize) -> &Monitors {
    &pools[pools[pool].origin(pool, member)].monitors
}

/// Scripts and targets as they are found, each once.
#[derive(Default)]
struct Drafts<'p> {
    scripts: Vec<Arc<Script>>,
    script_of: HashMap<&'p Monitor, u32>,
    targets: Vec<PlanTarget>,
    target_of: HashMap<(IpAddr, u32), u32>,
    combined_count: u32,
}

/// What all members with these monitors have in common.
struct Prepared {
    /// By monitor.
    scripts: Vec<u32>,
    /// `None`: there is one alone.
    quorum: Option<Arc<Quorum>>,
    /// Number of the monitor that is told from outside.
    push: Option<usize>,
}

impl<'p> Drafts<'p> {
    fn prepare(&mut self, monitors: &'p Monitors) -> Prepared {
        let scripts = monitors.list.iter().map(|named| {
            *self.script_of.entry(&named.monitor).or_insert_with(|| {
                self.scripts.push(Arc::new(Script::new(&named.monitor)));
                (self.scripts.len() - 1) as u32
            })
        });
        let scripts = scripts.collect();
        let push = monitors.list.iter().position(|named| matches!(named.monitor.probe, Probe::Push { .. }));
        let quorum = (monitors.list.len() > 1).then(|| Arc::new(Quorum::of(monitors)));
        Prepared { scripts, quorum, push }
    }

    /// The targets of a member, one a monitor.
    fn aim(&mut self, monitors: &Monitors, prepared: &Prepared, member: &Member, place: Place) -> Box<[u32]> {
        let aimed = monitors.list.iter().zip(&prepared.scripts).map(|(named, &script)| {
            let address = named.address_of(member);
            let target = *self.target_of.entry((address, script)).or_insert_with(|| {
                self.targets.push(PlanTarget {
                    address,
                    script,
                    places: Vec::with_capacity(1),
                    is_canary: false,
                });
                (self.targets.len() - 1) as u32
            });
            // Two equal monitors of one member are one target, and it is one place of it.
            let places = &mut self.targets[target as usize].places;
            if places.last() != Some(&place) {
                places.push(place);
            }
            target
        });
        aimed.collect()
    }
}

impl Plan {
    /// A plan for these pools; a pool and a member have the same index in `pools`, in `table` and in every report.
    /// Members are probed whatever their weight, and whether enabled or not.
    ///
    /// # Panics
    /// When `table` is not of these pools' shape.
    pub fn new(pools: &[Pool], table: Arc<HealthTable>) -> Plan {
        assert_eq!(table.pool_count(), pools.len(), "one row a pool");
        let mut drafts = Drafts::default();
        let mut named = Vec::with_capacity(pools.len());
        for (pool_index, pool) in pools.iter().enumerate() {
            assert_eq!(table.member_count(pool_index), pool.members.len(), "one word a member");
            // The same for member after member, most often.
            let mut latest: Option<(&Monitors, Prepared)> = None;
            let members = pool.members.iter().enumerate().map(|(member_index, member)| {
                let monitors = monitors_of(pools, pool_index, member_index);
                let prepared = match latest.take() {
                    Some((before, prepared)) if std::ptr::eq(before, monitors) => prepared,
                    _ => drafts.prepare(monitors),
                };
                let place = Place { pool: pool_index as u32, member: member_index as u32 };
                let targets = drafts.aim(monitors, &prepared, member, place);
                let pushed = prepared.push.map(|at| targets[at]);
                let several = prepared.quorum.clone().map(|quorum| {
                    drafts.combined_count += 1;
                    Several { quorum, index: drafts.combined_count - 1 }
                });
                latest = Some((monitors, prepared));
                let (name, weight, enabled) = (member.name.as_str().into(), member.weight, member.enabled);
                let origin = pool.origin(pool_index, member_index);
                let origin = (origin != pool_index).then(|| pools[origin].name.as_str().into());
                PlanMember {
                    name,
                    cname: member.cname.as_ref().map(|cname| cname.to_string().into()),
                    address: member.ip,
                    targets,
                    several,
                    pushed,
                    weight,
                    enabled,
                    region: None,
                    origin,
                }
            });
            let (members, name) = (members.collect(), pool.name.as_str().into());
            let tree = pool.tree.as_deref().map(counting);
            named.push(PlanPool { members, name, up_when: pool.up_when, tree });
        }
        let Drafts { scripts, targets, .. } = drafts;
        let identities = scripts.iter().map(|script: &Arc<Script>| identity(&script.monitor)).collect();
        Plan {
            table,
            scripts,
            identities,
            targets,
            pools: named.into(),
            guard: None,
            exec_processes: EXEC_PROCESSES,
        }
    }

    /// The same with another number of programs that run at once.
    #[must_use]
    pub fn limited(self, exec_processes: u16) -> Plan {
        Plan { exec_processes, ..self }
    }

    /// The same with the regions of its members, by which overrides may name them.
    #[must_use]
    pub fn located(mut self, region_of: impl Fn(IpAddr) -> Option<Arc<str>>) -> Plan {
        for member in self.pools.iter_mut().flat_map(|pool| &mut pool.members) {
            // A name is everywhere.
            member.region = if member.cname.is_some() { None } else { region_of(member.address) };
        }
        self
    }

    /// The same with a watch over the prober itself, and the targets that this needs.
    #[must_use]
    pub fn guarded(mut self, guard: Option<&ProberGuard>) -> Plan {
        let Some(guard) = guard else { return self };
        self.guard = Some(guard::Rules {
            share_percent: guard.share_percent,
            thaw_percent: guard.thaw_percent,
            window_ms: guard.window.as_millis() as u64,
            min_targets: guard.min_targets,
        });
        let Some(canaries) = &guard.canaries else { return self };
        let known = self.scripts.iter().position(|script| script.monitor == canaries.monitor);
        let script = known.unwrap_or_else(|| {
            self.scripts.push(Arc::new(Script::new(&canaries.monitor)));
            self.identities.push(identity(&canaries.monitor));
            self.scripts.len() - 1
        }) as u32;
        for &address in &canaries.addresses {
            let same = |target: &&mut PlanTarget| (target.address, target.script) == (address, script);
            match self.targets.iter_mut().find(same) {
                Some(target) => target.is_canary = true,
                None => {
                    self.targets.push(PlanTarget { address, script, places: Vec::new(), is_canary: true });
                }
            }
        }
        self
    }
}

/// A tree by which it is told whether pools count as up; where clients are does not matter then.
fn counting(tree: &model::Tree) -> Tree {
    let mut items = Vec::new();
    let node = |node: &model::Node| {
        let first = items.len();
        let parts = node.items.iter();
        items.extend(parts.map(|item| Item { part: item.part, weight: item.weight, region: None }));
        let UpWhen { min_up, weight_percent } = node.up_when;
        Node {
            items: first..items.len(),
            first_up: u16::MAX,
            up_rule: UpRule { min_up, weight_percent },
            preferences: Preferences::default(),
        }
    };
    let nodes = tree.nodes.iter().map(node).collect();
    Tree::new(nodes, items, 0).0
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::NamedMonitor;
    use crate::health::tests::{pool, tcp_monitor};

    fn plan(pools: &[Pool]) -> Plan {
        Plan::new(pools, Arc::new(HealthTable::new(pools.iter().map(|pool| pool.members.len()))))
    }

    #[test]
    fn same_address_with_an_equal_monitor_is_one_target_with_every_place() {
        let plan = plan(&[
            pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"]),
            pool("b", tcp_monitor(80), &["127.0.0.2", "127.0.0.1"]),
            pool("c", tcp_monitor(81), &["127.0.0.1"]),
        ]);
        assert_eq!((plan.scripts.len(), plan.targets.len()), (2, 3));
        assert_eq!(plan.targets[0].places, [Place { pool: 0, member: 0 }, Place { pool: 1, member: 1 }]);
        assert_eq!(plan.targets[2].places, [Place { pool: 2, member: 0 }]);
        assert_eq!(*plan.pools[1].members[0].targets, [1]);
    }

    #[test]
    fn members_probed_at_one_address_are_one_target_and_keep_their_own() {
        let mut web = pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2", "127.0.0.9"]);
        web.members[0].monitor_ip = Some("127.0.0.9".parse().unwrap());
        web.members[1].monitor_ip = Some("127.0.0.9".parse().unwrap());
        let plan = plan(&[web]);
        assert_eq!(plan.targets.len(), 1);
        assert_eq!(plan.targets[0].address, "127.0.0.9".parse::<IpAddr>().unwrap());
        assert_eq!(plan.targets[0].places.len(), 3);
        assert_eq!(plan.pools[0].members[1].address, "127.0.0.2".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn several_monitors_of_a_member_are_a_target_each_and_shared_with_others() {
        let mut both = pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"]);
        let one = |port| NamedMonitor { name: None, monitor: tcp_monitor(port), monitor_ip: None };
        both.monitors = Arc::new(Monitors { list: vec![one(80), one(81), one(80)], pass: 2 });
        let plan = plan(&[pool("b", tcp_monitor(81), &["127.0.0.2"]), both]);
        assert_eq!((plan.scripts.len(), plan.targets.len()), (2, 4));
        assert_eq!(*plan.pools[1].members[1].targets, [3, 0, 3]);
        assert_eq!(plan.targets[0].places, [Place { pool: 0, member: 0 }, Place { pool: 1, member: 1 }]);
        assert_eq!(
            plan.targets[3].places,
            [Place { pool: 1, member: 1 }],
            "once, though two monitors are equal"
        );
        let several = plan.pools[1].members[1].several.as_ref().unwrap();
        assert_eq!((several.index, several.quorum.needed), (1, 2));
        let labels: Vec<&str> = several.quorum.labels.iter().map(|label| &**label).collect();
        assert_eq!(labels, ["tcp", "tcp-2", "tcp-3"]);
    }

    #[test]
    fn members_of_weight_zero_and_disabled_ones_are_targets_too() {
        let mut pool = pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"]);
        pool.members[0].weight = 0;
        pool.members[1].enabled = false;
        assert_eq!(plan(&[pool]).targets.len(), 2);
    }
}
