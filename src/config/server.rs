//! The `server` section: addresses, limits and switches of the process. Opens no socket and asks nothing of the system.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::guard::{read_cookies, read_rates};
use super::model::{Cookies, Server, SoaFields, Steering};
use super::prober_guard::read_prober_guard;
use super::scalars::{boolean, duration, integer, listen_address, socket_address, text_octets, word};
use super::zones::{read_name_servers, read_soa};

/// Most addresses served.
const MAX_LISTEN: usize = 64;
/// Longest identifier: with it, a reply of one address has room in the 512 octets that everybody takes.
const MAX_NSID_OCTETS: usize = 64;
/// Most octets of one character string (RFC 1035 §3.3.14).
const MAX_TEXT_OCTETS: usize = 255;
/// What one client may take of all TCP connections unless told otherwise.
const DEFAULT_PER_CLIENT: u32 = 64;
/// Octets of a socket's buffer: the kernel's own minimum is about 2 KiB, and beyond the maximum lies a queue of seconds.
const BUFFER_OCTETS: std::ops::RangeInclusive<u64> = 4096..=256 << 20;
/// Longest busy poll in microseconds: it keeps a core busy for nothing.
const MAX_BUSY_POLL_US: u64 = 10_000;
/// Oldest states that a start may use.
const MAX_STATE_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Words of `steering`.
const STEERINGS: &[(&str, Steering)] = &[("hash", Steering::Hash), ("cpu", Steering::Cpu)];
const STEERING_WORDS: &str = "`hash` and `cpu`";
/// Words for no HTTP listener.
const OFF: [&str; 5] = ["off", "no", "false", "Off", "OFF"];

pub(super) static SERVER: Section = Section {
    title: "`server`",
    keys: &[
        key("listen"),
        key("workers"),
        key("admin"),
        key("state_dir"),
        key("state_max_age"),
        key("edns_udp_size"),
        key("ecs"),
        key("minimal_responses"),
        key("cookies"),
        key("rrl"),
        key("nsid"),
        key("version"),
        key("id"),
        key("tcp_max_connections"),
        key("tcp_max_connections_per_client"),
        key("tcp_idle_timeout"),
        key("receive_buffer"),
        key("send_buffer"),
        key("busy_poll_us"),
        key("steering"),
        key("probe_threads"),
        key("exec_processes"),
        key("prober_guard"),
        key("ns"),
        key("soa"),
    ],
    may_be_empty: true,
};

/// A server whose file says nothing about it.
pub(super) fn default_server() -> Server {
    Server {
        listen: vec![SocketAddr::from(([0, 0, 0, 0], 53)), SocketAddr::from(([0u16; 8], 53))],
        listen_is_default: true,
        workers: None,
        admin: None,
        state_dir: None,
        state_max_age: Duration::from_secs(3600),
        edns_udp_size: 1232,
        ecs: true,
        minimal_responses: true,
        cookies: Cookies::default(),
        rates: None,
        nsid: None,
        version: None,
        id: None,
        tcp_max_connections: 1024,
        tcp_max_connections_per_client: DEFAULT_PER_CLIENT,
        tcp_idle_timeout: Duration::from_secs(10),
        receive_buffer: 4 << 20,
        send_buffer: 1 << 20,
        busy_poll_us: 0,
        steering: Steering::Hash,
        probe_threads: 2,
        exec_processes: 16,
        prober_guard: None,
        ns: Vec::new(),
        soa: SoaFields::default(),
    }
}

/// Reads the section; `directory` is what relative paths are relative to. The path of the cookies' secrets goes into
/// `secret_file`.
pub(super) fn read_server<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
    secret_file: &mut Option<Placed<PathBuf>>,
) -> Read<Server> {
    let mut server = default_server();
    let mut admin = None;
    let mut per_client = None;
    d.section(field, &SERVER, |d, name, field| {
        match name {
            "listen" => {
                server.listen_is_default = false;
                set(&mut server.listen, read_listen(d, field)?);
            }
            "workers" => set(&mut server.workers, value(d.value(field, workers)?)),
            "admin" => admin = d.value(field, admin_address)?,
            "state_dir" => {
                let path = value(d.value(field, |s| text_octets(&s.text, 4096))?);
                server.state_dir = path.map(|path| join(directory, &path));
            }
            "state_max_age" => {
                let range = duration(Duration::ZERO, MAX_STATE_AGE);
                set(&mut server.state_max_age, value(d.value(field, range)?));
            }
            "edns_udp_size" => set(&mut server.edns_udp_size, value(d.value(field, integer(512..=4096))?)),
            "ecs" => set(&mut server.ecs, value(d.value(field, boolean)?)),
            "minimal_responses" => set(&mut server.minimal_responses, value(d.value(field, boolean)?)),
            "cookies" => server.cookies = read_cookies(d, field, directory, secret_file)?,
            "rrl" => server.rates = read_rates(d, field)?,
            "nsid" => server.nsid = value(d.value(field, |s| text_octets(&s.text, MAX_NSID_OCTETS))?),
            "version" => server.version = value(d.value(field, |s| text_octets(&s.text, MAX_TEXT_OCTETS))?),
            "id" => server.id = value(d.value(field, |s| text_octets(&s.text, MAX_TEXT_OCTETS))?),
            "tcp_max_connections" => {
                set(&mut server.tcp_max_connections, value(d.value(field, integer(1..=1_000_000))?));
            }
            "tcp_max_connections_per_client" => per_client = d.value(field, integer(1..=1_000_000))?,
            "tcp_idle_timeout" => {
                let range = duration(Duration::from_millis(100), Duration::from_secs(3600));
                set(&mut server.tcp_idle_timeout, value(d.value(field, range)?));
            }
            "receive_buffer" => {
                set(&mut server.receive_buffer, value(d.value(field, integer(BUFFER_OCTETS))?))
            }
            "send_buffer" => set(&mut server.send_buffer, value(d.value(field, integer(BUFFER_OCTETS))?)),
            "busy_poll_us" => {
                set(&mut server.busy_poll_us, value(d.value(field, integer(0..=MAX_BUSY_POLL_US))?));
            }
            "steering" => set(&mut server.steering, value(d.value(field, word(STEERINGS, STEERING_WORDS))?)),
            "exec_processes" => set(&mut server.exec_processes, value(d.value(field, integer(1..=256))?)),
            "probe_threads" => set(&mut server.probe_threads, value(d.value(field, integer(1..=64))?)),
            "prober_guard" => server.prober_guard = read_prober_guard(d, field, directory)?,
            "ns" => set(&mut server.ns, read_name_servers(d, field)?.map(values)),
            "soa" => set(&mut server.soa, read_soa(d, field)?.map(|soa| soa.fields)),
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    check_admin(d, &mut server, admin);
    check_per_client(d, &mut server, per_client);
    Ok(server)
}

/// Overwrites a default with what was read.
fn set<T>(slot: &mut T, read: Option<T>) {
    if let Some(value) = read {
        *slot = value;
    }
}

fn value<T>(placed: Option<Placed<T>>) -> Option<T> {
    placed.map(|placed| placed.value)
}

fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

/// A path of the file, relative to the file's directory.
pub(super) fn join(directory: Option<&Path>, path: &str) -> PathBuf {
    directory.map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
}

/// `auto` or a number.
fn workers(scalar: &super::events::Scalar<'_>) -> Result<Option<u16>, Cause> {
    if scalar.text == "auto" { Ok(None) } else { integer(1..=1024)(scalar).map(Some) }
}

/// `off` or an address with port.
fn admin_address(scalar: &super::events::Scalar<'_>) -> Result<Option<SocketAddr>, Cause> {
    if OFF.contains(&&*scalar.text) { Ok(None) } else { socket_address(scalar).map(Some) }
}

fn read_listen<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Vec<SocketAddr>>> {
    let mut addresses = Vec::new();
    let mut taken = TakenPorts::default();
    let at = field.at;
    let count = d.list(field, "listen", |d, item| {
        if let Some(address) = d.value(item, listen_address)? {
            match taken.take(address) {
                Ok(()) => addresses.push(address.value),
                Err(cause) => d.error(address.span, cause),
            }
        }
        Ok(())
    })?;
    if count.is_some_and(|count| count > MAX_LISTEN) {
        d.error(at, Cause::TooMany { what: "addresses in `listen`", limit: MAX_LISTEN });
    }
    Ok(Some(addresses).filter(|addresses| !addresses.is_empty()))
}

/// The addresses of `listen` so far: a port is free at an address that neither stands there nor overlaps one that does.
#[derive(Default)]
struct TakenPorts {
    first_lines: HashMap<SocketAddr, u32>,
    /// The first address of a family (true: IPv6) and port.
    first_of_port: HashMap<(bool, u16), SocketAddr>,
}

impl TakenPorts {
    /// Takes an address, or says what stands in its way.
    fn take(&mut self, Placed { value: address, span }: Placed<SocketAddr>) -> Result<(), Cause> {
        // Port 0 is another port each time.
        if address.port() == 0 {
            return Ok(());
        }
        if let Some(&first_line) = self.first_lines.get(&address) {
            let item = Found::new(&address.to_string());
            return Err(Cause::Duplicate { what: "address", item, first_line });
        }
        let wildcard = wildcard_of(address);
        if let Some(&first_line) = self.first_lines.get(&wildcard) {
            return Err(Cause::CoveredByWildcard { address, wildcard, first_line });
        }
        let first = *self.first_of_port.entry((address.is_ipv6(), address.port())).or_insert(address);
        if address == wildcard && first != wildcard {
            let first_line = self.first_lines.get(&first).copied().unwrap_or_default();
            return Err(Cause::WildcardCovers { wildcard, address: first, first_line });
        }
        self.first_lines.insert(address, span.line);
        Ok(())
    }
}

/// Every address of the same family, at the same port.
fn wildcard_of(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, address.port())
}

fn check_admin(d: &mut Decoder<'_, '_>, server: &mut Server, admin: Option<Placed<Option<SocketAddr>>>) {
    let Some(Placed { value: Some(address), span }) = admin else { return };
    let overlaps = |listen: &SocketAddr| {
        // The HTTP listener's IPv6 wildcard takes IPv4 too, unlike those of `listen`.
        let takes_both =
            address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED) && address.port() == listen.port();
        takes_both || *listen == wildcard_of(address) || address == wildcard_of(*listen)
    };
    if address.port() != 0 {
        if server.listen.contains(&address) {
            d.error(span, Cause::AdminIsListen { address });
        } else if let Some(&listen) = server.listen.iter().find(|listen| overlaps(listen)) {
            d.error(span, Cause::AdminOverlapsListen { address, listen });
        }
    }
    server.admin = Some(address);
}

/// The default shrinks with the total; a larger number that was written is a mistake.
fn check_per_client(d: &mut Decoder<'_, '_>, server: &mut Server, per_client: Option<Placed<u32>>) {
    let total = server.tcp_max_connections;
    server.tcp_max_connections_per_client = match per_client {
        None => DEFAULT_PER_CLIENT.min(total),
        Some(Placed { value, span }) => {
            if value > total {
                d.error(span, Cause::PerClientAboveTotal { per_client: value, total });
            }
            value
        }
    };
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded};
    use std::time::Duration;

    const NAMES: &str = "zones: {example.com: {ns: ns1.example.net}}\n";

    #[test]
    fn a_file_without_server_serves_port_53_of_every_address() {
        let server = loaded(NAMES).server;
        assert_eq!(
            server.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["0.0.0.0:53", "[::]:53"]
        );
        assert_eq!(
            (server.workers, server.admin, server.edns_udp_size, server.ecs),
            (None, None, 1232, true)
        );
        assert_eq!((server.tcp_max_connections, server.tcp_max_connections_per_client), (1024, 64));
    }

    #[test]
    fn the_default_of_listen_is_told_from_the_same_addresses_written_out() {
        let is_default = |server: &str| loaded(&format!("{NAMES}{server}")).server.listen_is_default;
        assert!(is_default(""));
        assert!(is_default("server: {workers: 1}\n"));
        assert!(!is_default("server: {listen: [0.0.0.0, '::']}\n"));
    }

    #[test]
    fn every_setting_is_read() {
        let text = format!(
            "{NAMES}server:\n  listen: ['127.0.0.1:5300', '::1']\n  workers: 4\n  admin: 127.0.0.1:8053\n  state_dir: /s\n  state_max_age: 10m\n  \
             edns_udp_size: 4096\n  ecs: off\n  nsid: pop7-a\n  version: x 1\n  id: pop7\n  tcp_max_connections: 32\n  \
             tcp_idle_timeout: 500ms\n  receive_buffer: 8192\n  send_buffer: 4096\n  busy_poll_us: 50\n  steering: cpu\n  \
             probe_threads: 3\n  ns: ns.example.net\n  soa: {{serial: 7}}\n"
        );
        let server = loaded(&text).server;
        assert_eq!(
            server.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:5300", "[::1]:53"]
        );
        assert_eq!(server.workers, Some(4));
        assert_eq!(server.admin.unwrap().to_string(), "127.0.0.1:8053");
        assert_eq!(server.state_dir.unwrap().to_str(), Some("/s"));
        assert_eq!(server.state_max_age, Duration::from_secs(600));
        assert_eq!((server.edns_udp_size, server.ecs), (4096, false));
        assert_eq!(server.nsid.as_deref(), Some("pop7-a"));
        assert_eq!((server.version.as_deref(), server.id.as_deref()), (Some("x 1"), Some("pop7")));
        assert_eq!((server.tcp_max_connections, server.tcp_max_connections_per_client), (32, 32));
        assert_eq!((server.tcp_idle_timeout, server.probe_threads), (Duration::from_millis(500), 3));
        assert_eq!((server.receive_buffer, server.send_buffer, server.busy_poll_us), (8192, 4096, 50));
        assert_eq!(server.steering, super::Steering::Cpu);
        assert_eq!((server.ns.len(), server.soa.serial), (1, 7));
    }

    /// The errors of these lines of `server`.
    fn server_errors(lines: &str) -> Vec<String> {
        errors(&format!("{NAMES}server: {{{lines}}}\n"))
    }

    #[test]
    fn an_address_that_no_socket_can_have_is_refused() {
        let unicast = "(accepted are addresses of this machine, `0.0.0.0` and `::`)";
        for (address, message) in [
            (
                "[::ffff:127.0.0.1]:0",
                "`[::ffff:127.0.0.1]:0` is an IPv4 address written as IPv6 (did you mean `127.0.0.1:0`?)".to_owned(),
            ),
            (
                "[fe80::1]:53",
                "`[fe80::1]:53` is a link-local address without its interface (accepted is `[fe80::1%2]:53`, where 2 is \
                 the interface's number as `ip link` shows it)"
                    .to_owned(),
            ),
            ("224.0.0.1:53", format!("`224.0.0.1:53` is a multicast address: nothing is served there {unicast}")),
            ("[ff02::1]:53", format!("`[ff02::1]:53` is a multicast address: nothing is served there {unicast}")),
            (
                "255.255.255.255:53",
                format!("`255.255.255.255:53` is a broadcast address: nothing is served there {unicast}"),
            ),
        ] {
            assert_eq!(server_errors(&format!("listen: '{address}'")), [format!("2:18: {message}")]);
            assert_eq!(server_errors(&format!("admin: '{address}'")), [format!("2:17: {message}")]);
        }
        let scoped = loaded(&format!("{NAMES}server: {{listen: '[fe80::1%2]:53'}}\n")).server;
        assert_eq!(scoped.listen[0].to_string(), "[fe80::1%2]:53");
    }

    #[test]
    fn an_address_and_the_wildcard_that_covers_it_are_one_too_many() {
        assert_eq!(
            server_errors("listen: ['0.0.0.0:5399', '127.0.0.1:5399']"),
            [
                "2:35: `127.0.0.1:5399` is covered by `0.0.0.0:5399` (given on line 2: the port would be in use; keep one \
                 of them)"
            ]
        );
        assert_eq!(
            server_errors("listen: ['::1', '::', '127.0.0.1']"),
            [
                "2:26: `[::]:53` covers `[::1]:53` (given on line 2: the port would be in use; keep one of them)"
            ]
        );
        for apart in
            ["['0.0.0.0:0', '127.0.0.1:0']", "['0.0.0.0:53', '::1']", "['0.0.0.0:53', '127.0.0.1:54']"]
        {
            assert!(
                !loaded(&format!("{NAMES}server: {{listen: {apart}}}\n")).server.listen.is_empty(),
                "{apart}"
            );
        }
    }

    #[test]
    fn admin_and_listen_never_share_a_port_by_a_wildcard() {
        for (listen, admin) in [
            ("'0.0.0.0:5399'", "127.0.0.1:5399"),
            ("127.0.0.1:5399", "0.0.0.0:5399"),
            // The HTTP listener's IPv6 wildcard takes IPv4 too.
            ("127.0.0.1:5399", "[::]:5399"),
        ] {
            let errors = server_errors(&format!("listen: {listen}, admin: '{admin}'"));
            let listen = listen.trim_matches('\'');
            let message =
                format!("`{admin}` and the address `{listen}` of `listen` overlap (give it another port)");
            assert_eq!(errors.len(), 1);
            assert!(errors[0].ends_with(&message), "{errors:?}");
        }
        for (listen, admin) in [("'[::]:5399'", "127.0.0.1:5399"), ("'0.0.0.0:0'", "127.0.0.1:0")] {
            loaded(&format!("{NAMES}server: {{listen: {listen}, admin: '{admin}'}}\n"));
        }
        assert_eq!(
            server_errors("admin: '127.0.0.1:53'"),
            ["2:17: `127.0.0.1:53` and the address `0.0.0.0:53` of `listen` overlap (give it another port)"]
        );
    }

    #[test]
    fn settings_of_the_kernel_have_their_ranges_and_words() {
        assert_eq!(
            server_errors(
                "receive_buffer: 4095, send_buffer: 268435457, busy_poll_us: 10001, steering: hush"
            ),
            [
                "2:26: `4095` is out of range (accepted are 4096 to 268435456)",
                "2:45: `268435457` is out of range (accepted are 4096 to 268435456)",
                "2:70: `10001` is out of range (accepted are 0 to 10000)",
                "2:87: `hush` is not accepted here (did you mean `hash`?)",
            ]
        );
        let server = loaded(NAMES).server;
        assert_eq!((server.receive_buffer, server.send_buffer, server.busy_poll_us), (4 << 20, 1 << 20, 0));
        assert_eq!(server.steering, super::Steering::Hash);
    }

    #[test]
    fn each_bad_setting_is_an_error_at_its_place() {
        let text = format!(
            "{NAMES}server:\n  listen: [127.0.0.1, '127.0.0.1:53', x]\n  workers: 0\n  admin: 127.0.0.1:53\n  ecs: 2\n  \
             tcp_max_connections: 5\n  tcp_max_connections_per_client: 6\n  edns_udp_size: 100\n  work: 1\n"
        );
        assert_eq!(
            errors(&text),
            [
                "3:23: the address `127.0.0.1:53` is given twice (first given on line 3)",
                "3:39: `x` is not an address to listen on (accepted are `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1` and `[2001:db8::1]:53`)",
                "4:12: `0` is out of range (accepted are 1 to 1024)",
                "5:10: `127.0.0.1:53` is already an address of `listen`",
                "6:8: `2` is neither true nor false (accepted are `true` and `false` (also `yes`, `no`, `on`, `off`))",
                "8:35: `tcp_max_connections_per_client` (6) is larger than `tcp_max_connections` (5)",
                "9:18: `100` is out of range (accepted are 512 to 4096)",
                "10:3: unknown key `work` in `server` (did you mean `workers`?)",
            ]
        );
    }
}
