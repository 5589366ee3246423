//! `http` and `https` against nginx: statuses, headers, bodies of every framing, stalls and drips.

use std::fs;

use crate::common::backend::{Backend, Manner};
use crate::room::{Room, expect, make_certificates, nginx, pool, serve};

const SERVERS: &str = r#"
  server {
    listen 127.0.0.1:8080;
    listen 127.0.0.1:8443 ssl;
    ssl_certificate FOLDER/leaf.pem;
    ssl_certificate_key FOLDER/leaf.key;
    server_name probe.test;
    root FOLDER;
    keepalive_timeout 60s;
    location = /ok { if (-f FOLDER/down) { return 503; } return 204; }
    location = /status { default_type text/plain; return 200 "status: healthy\n"; }
    location = /page.shtml { ssi on; ssi_types *; }
    location = /drip { limit_rate 20; alias FOLDER/long; }
    location = /large { alias FOLDER/large; }
    location = /checked {
      if ($http_x_probe != "one, two") { return 403; }
      if ($http_user_agent != "checker") { return 406; }
      if ($request_method != PUT) { return 405; }
      if ($http_content_length != 7) { return 411; }
      return 200 "checked";
    }
  }
  server { listen 127.0.0.1:8080 default_server; return 421; }
"#;

#[test]
fn nginx_is_judged_by_status_headers_and_body_over_both_schemes() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_certificates(path, 20);
    fs::write(path.join("page.shtml"), "<p>The answer is <!--# echo var=\"document_uri\" --> and 42</p>\n")
        .unwrap();
    fs::write(path.join("long"), "x".repeat(4000)).unwrap();
    fs::write(path.join("large"), format!("{}needle", "x".repeat(65_530))).unwrap();
    let nginx = nginx(path, &SERVERS.replace("FOLDER", path.to_str().unwrap()), "127.0.0.1:8080");

    let web = |name: &str, scheme: &str, parameters: &str| {
        let port = if scheme == "http" { 8080 } else { 8443 };
        pool(name, "127.0.0.1", scheme, &format!("port: {port}, hostname: probe.test, {parameters}"))
    };
    let server = serve(&[
        web("plain", "http", "path: /ok, expected_codes: [204]"),
        web("sealed", "https", "path: /ok, expected_codes: [204]"),
        web("wrong", "http", "path: /nothing"),
        web("length", "http", r"path: /status, match_re: '^status: (healthy|busy)\s*$'"),
        web("lengthtls", "https", r"path: /status, match_re: '^status: (healthy|busy)\s*$'"),
        web("unlike", "http", "path: /status, match_re: 'status: sick'"),
        web("chunks", "http", r"path: /page.shtml, match_re: 'answer is /page\.shtml and 42'"),
        web("chunkstls", "https", r"path: /page.shtml, match_re: 'answer is /page\.shtml and 42'"),
        web("unlikechunks", "https", "path: /page.shtml, match_re: 'and 43'"),
        web("needle", "https", "path: /large, match_re: 'needle$'"),
        web("beyond", "http", "path: /large, match_re: needle, match_limit: 65535"),
        web(
            "checked",
            "http",
            "path: /checked, method: PUT, body: 'a=1&b=2', headers: {X-Probe: 'one, two', user-agent: checker}, match_re: '^checked$'",
        ),
        web("unchecked", "http", "path: /checked, headers: {X-Probe: one}"),
        web("dripping", "http", "path: /drip, match_re: nothing, timeout: 400ms"),
        web("soon", "https", "path: /ok, expected_codes: [204], min_days_left: 30"),
        web("later", "https", "path: /ok, expected_codes: [204], min_days_left: 10"),
        pool("stranger", "127.0.0.1", "http", "port: 8080, hostname: other.test"),
    ]);
    let matched = r"reply matches `^status: (healthy|busy)\s*$`";
    for (name, state, reason) in [
        ("plain", "up", "status 204"),
        ("sealed", "up", "status 204"),
        ("wrong", "down", "status 404, expected 200"),
        ("length", "up", matched),
        ("lengthtls", "up", matched),
        ("unlike", "down", "reply does not match `status: sick`"),
        ("chunks", "up", r"reply matches `answer is /page\.shtml and 42`"),
        ("chunkstls", "up", r"reply matches `answer is /page\.shtml and 42`"),
        ("unlikechunks", "down", "reply does not match `and 43`"),
        ("needle", "up", "reply matches `needle$`"),
        ("beyond", "down", "reply does not match `needle`"),
        ("checked", "up", "reply matches `^checked$`"),
        ("unchecked", "down", "status 403, expected 200"),
        ("dripping", "down", "timeout after 400 ms in receive"),
        ("soon", "down", "tls: certificate has 19 days left, at least 30 expected"),
        ("later", "up", "status 204"),
        ("stranger", "down", "status 421, expected 200"),
    ] {
        expect(&server, name, state, reason);
    }
    fs::write(path.join("down"), "").unwrap();
    expect(&server, "plain", "down", "status 503, expected 204");
    expect(&server, "sealed", "down", "status 503, expected 204");
    fs::remove_file(path.join("down")).unwrap();
    expect(&server, "sealed", "up", "status 204");
    drop(nginx);
    expect(&server, "plain", "down", "connect: refused");
    expect(&server, "chunkstls", "down", "connect: refused");
}

#[test]
fn chunks_are_really_what_nginx_sends() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make_certificates(path, 20);
    fs::write(path.join("page.shtml"), "<!--# echo var=\"document_uri\" -->\n").unwrap();
    let _nginx = nginx(path, &SERVERS.replace("FOLDER", path.to_str().unwrap()), "127.0.0.1:8080");
    let mut stream = std::net::TcpStream::connect("127.0.0.1:8080").unwrap();
    let request = "GET /page.shtml HTTP/1.1\r\nHost: probe.test\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
    assert!(reply.contains("Transfer-Encoding: chunked"), "{reply}");
}

#[test]
fn reply_that_stops_inside_its_body_is_down_in_receive_or_by_its_end() {
    let Some(_room) = Room::enter() else { return };
    let cut = Backend::start(
        [127, 0, 0, 1].into(),
        Manner::Says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    );
    let coded = Backend::start(
        [127, 0, 0, 1].into(),
        Manner::Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
    );
    let bad = Backend::start(
        [127, 0, 0, 1].into(),
        Manner::Says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    );
    let web = |name: &str, backend: &Backend| {
        pool(name, "127.0.0.1", "http", &format!("port: {}, match_re: whole", backend.port()))
    };
    let server = serve(&[web("cut", &cut), web("coded", &coded), web("bad", &bad)]);
    // Octets of the request that nobody read have the kernel reset the connection: either way it ended inside.
    expect(&server, "cut", "down", "connection closed within the body");
    expect(&server, "coded", "down", "body is coded as `gzip, chunked`, which is not read");
    expect(&server, "bad", "down", "chunks of the body are malformed");
}
