//! `icmp`: a machine behind a cable, over both kinds of socket; and what is said where there is neither.

use crate::common::{Server, tool};
use crate::room::{FAR, FAR_V6, NOBODY, Room, configuration, expect, member, pool, serve};

fn pools() -> [String; 4] {
    [
        pool("four", FAR, "icmp", "timeout: 300ms"),
        pool("six", FAR_V6, "icmp", "timeout: 300ms"),
        pool("own", "127.0.0.1", "ping", "timeout: 300ms"),
        pool("nobody", NOBODY, "icmp", "timeout: 300ms"),
    ]
}

fn follows_the_cable(room: &Room) {
    let server = serve(&pools());
    for name in ["four", "six", "own"] {
        expect(&server, name, "up", "echo reply");
    }
    expect(&server, "nobody", "down", "timeout after 300 ms in receive");
    room.far("link set far down");
    // The kernel may know that nobody is there before the budget is spent.
    expect(&server, "four", "down", "*");
    expect(&server, "six", "down", "*");
    expect(&server, "own", "up", "echo reply");
    room.far("link set far up");
    expect(&server, "four", "up", "echo reply");
}

#[test]
fn far_machine_is_followed_over_datagram_sockets() {
    let Some(room) = Room::enter() else { return };
    room.permit_echo(true);
    follows_the_cable(&room);
}

#[test]
fn far_machine_is_followed_over_raw_sockets_where_the_others_are_forbidden() {
    let Some(room) = Room::enter() else { return };
    room.permit_echo(false);
    follows_the_cable(&room);
}

/// steerd without the right to raw sockets.
fn unprivileged() -> Server {
    let mut command = tool("setpriv");
    command.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw", env!("CARGO_BIN_EXE_steerd")]);
    Server::start_command(&configuration(&pools()), command)
}

#[test]
fn without_any_right_no_verdict_is_reached_and_the_way_out_is_told() {
    let Some(room) = Room::enter() else { return };
    room.permit_echo(true);
    let server = unprivileged();
    expect(&server, "four", "up", "echo reply");
    // Probes that cannot be made change nothing.
    room.permit_echo(false);
    let told = "prober: ICMP is not permitted: put the group of this process into net.ipv4.ping_group_range (sysctl), or \
                give it CAP_NET_RAW";
    expect(&server, "four", "up", told);
    expect(&server, "nobody", "down", told);
    assert!(member(&server, "four")["probes_inconclusive"].as_u64().unwrap() > 0);
    drop(server);
    let server = unprivileged();
    expect(&server, "four", "unknown", told);
}
