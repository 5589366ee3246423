//! What beside counts decides over a verdict: `retry_interval`, `hold_down`, `warmup` and `damping` of `monitor_params`.
//!
//! Reads and checks; what is made of it is the state machine's.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::cause::Cause;
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::model::{Damping, Discipline};
use super::scalars::{duration, integer};

const RETRY_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Of `hold_down` and `warmup`.
const MAX_PATIENCE: Duration = Duration::from_secs(3600);
const HALF_LIFE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const DEFAULT_HALF_LIFE: Duration = Duration::from_secs(60);
const SUPPRESS: RangeInclusive<u64> = 1000..=100_000;
/// Two changes to DOWN within a half-life, and the one between them.
const DEFAULT_SUPPRESS: u32 = 2500;

pub(super) static DAMPING: Section = Section {
    title: "`damping`",
    keys: &[key("half_life"), key("suppress"), key("reuse")],
    may_be_empty: true,
};

/// As read; `None` where absent or refused.
#[derive(Debug, Default)]
pub(super) struct ReadDiscipline {
    retry_interval: Option<Placed<Duration>>,
    hold_down: Duration,
    warmup: Duration,
    damping: Option<Damping>,
}

impl ReadDiscipline {
    /// Reads one of the four.
    pub(super) fn read<'t>(&mut self, d: &mut Decoder<'t, '_>, name: &str, field: Field<'t>) -> Read<()> {
        let patience = |read: Option<Placed<Duration>>| read.map_or(Duration::ZERO, |read| read.value);
        match name {
            "retry_interval" => {
                self.retry_interval =
                    d.value(field, duration(*RETRY_INTERVAL.start(), *RETRY_INTERVAL.end()))?
            }
            "hold_down" => self.hold_down = patience(d.value(field, duration(Duration::ZERO, MAX_PATIENCE))?),
            "warmup" => self.warmup = patience(d.value(field, duration(Duration::ZERO, MAX_PATIENCE))?),
            _ => self.damping = read_damping(d, field)?,
        }
        Ok(())
    }

    /// Checks it against the interval, if that is known.
    pub(super) fn build(&self, d: &mut Decoder<'_, '_>, interval: Option<Duration>) -> Discipline {
        if let (Some(Placed { value: retry_interval, span }), Some(interval)) =
            (self.retry_interval, interval)
            && retry_interval > interval
        {
            d.error(span, Cause::RetryAboveInterval { retry_interval, interval });
        }
        Discipline {
            retry_interval: self.retry_interval.map(|read| read.value),
            hold_down: self.hold_down,
            warmup: self.warmup,
            damping: self.damping,
        }
    }
}

fn read_damping<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Damping>> {
    let mut half_life = DEFAULT_HALF_LIFE;
    let mut suppress = DEFAULT_SUPPRESS;
    let mut reuse: Option<Placed<u32>> = None;
    let seen = d.section(field, &DAMPING, |d, name, field| {
        match name {
            "half_life" => {
                let read = d.value(field, duration(*HALF_LIFE.start(), *HALF_LIFE.end()))?;
                half_life = read.map_or(half_life, |read| read.value);
            }
            "suppress" => {
                suppress = d.value(field, integer(SUPPRESS))?.map_or(suppress, |read| read.value);
            }
            "reuse" => reuse = d.value(field, integer(1..=*SUPPRESS.end()))?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    if let Some(Placed { value, span }) = reuse.filter(|reuse| reuse.value > suppress) {
        d.error(span, Cause::ReuseAboveSuppress { reuse: value, suppress });
    }
    let reuse = reuse.map_or(suppress / 2, |reuse| reuse.value);
    Ok(seen.map(|_| Damping { half_life, suppress, reuse }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded};
    use super::*;

    /// A configuration whose one pool has these parameters.
    fn with(parameters: &str) -> String {
        format!(
            "globalnames: {{a.example: p}}\npools:\n  p:\n    lb_method: wrr\n    members: {{127.0.0.1: }}\n    \
             monitor: tcp\n    monitor_params: {{port: 1, {parameters}}}\n"
        )
    }

    fn discipline(parameters: &str) -> Discipline {
        loaded(&with(parameters)).pools[0].monitors.list[0].monitor.discipline.clone()
    }

    #[test]
    fn every_key_is_read_and_none_is_the_default() {
        assert_eq!(discipline("retries: 1"), Discipline::default());
        let damping = Damping { half_life: Duration::from_secs(120), suppress: 4000, reuse: 700 };
        assert_eq!(
            discipline(
                "retry_interval: 500ms, hold_down: 30, warmup: 2m, damping: {half_life: 2m, suppress: 4000, reuse: 700}"
            ),
            Discipline {
                retry_interval: Some(Duration::from_millis(500)),
                hold_down: Duration::from_secs(30),
                warmup: Duration::from_secs(120),
                damping: Some(damping),
            }
        );
        let default = Damping { half_life: Duration::from_secs(60), suppress: 2500, reuse: 1250 };
        assert_eq!(discipline("damping: {}").damping, Some(default));
    }

    #[test]
    fn each_bad_value_is_an_error_at_its_place() {
        for (parameters, expected) in [
            (
                "interval: 5, retry_interval: 6",
                "7:60: the retry interval (6 s) is longer than the interval (5 s) (accepted are 100 ms to 5 s)",
            ),
            ("hold_down: 2h", "7:42: the duration `2h` is out of range (accepted are 0 ms to 3600 s)"),
            ("damping: {suppress: 999}", "7:51: `999` is out of range (accepted are 1000 to 100000)"),
            (
                "damping: {suppress: 2000, reuse: 2001}",
                "7:64: reuse (2001) is above suppress (2000): nobody would be kept down (accepted are 1 to 2000)",
            ),
            (
                "damping: {halflife: 1}",
                "7:41: unknown key `halflife` in `damping` (did you mean `half_life`?)",
            ),
        ] {
            assert_eq!(errors(&with(parameters)), [expected], "{parameters}");
        }
    }
}
