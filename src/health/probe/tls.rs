//! The TLS part of `tls` and `https`: client configuration, server name, certificate verification.
//!
//! By default any certificate is accepted (as in polaris-gslb), but the handshake's signatures are still checked with
//! the key in it, so that a peer which does not hold that key fails. (A certificate that webpki cannot read, X.509 v1
//! say, fails with it.) With `verify: true` the chain and the name must verify against the machine's own roots, which
//! are read once a process, when the first such monitor is compiled (at every reload, as long as none are found).
//!
//! Sessions are not resumed: a resumed session shows neither the certificate nor the key, and a probe is there to see
//! what a new client sees. No ALPN is offered.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::certificate::Demands;
use crate::config::model::TlsProbe;
use crate::health::reason::{ProberFault, Reason};

/// A monitor's TLS part made ready.
pub(super) struct Tls {
    config: Result<Arc<ClientConfig>, Reason>,
    /// `None`: the member's address, of which no indication is sent (RFC 6066 §3).
    server_name: Option<ServerName<'static>>,
    demands: Demands,
}

impl Tls {
    pub(super) fn new(probe: &TlsProbe) -> Tls {
        let (config, server_name) = (shared_config(probe.verify), probe.server_name.clone());
        match server_name.map(ServerName::try_from).transpose() {
            Ok(server_name) => Tls { config, server_name, demands: Demands::new(probe) },
            Err(error) => Tls {
                config: Err(Reason::Tls(error.to_string().into())),
                server_name: None,
                demands: Demands::new(probe),
            },
        }
    }

    /// Why no handshake can be begun.
    pub(super) fn impediment(&self) -> Option<Reason> {
        self.config.as_ref().err().cloned()
    }

    /// A client that has not said anything yet.
    pub(super) fn connect(&self, address: std::net::IpAddr) -> Result<ClientConnection, Reason> {
        let config = self.config.clone()?;
        let name = self.server_name.clone().unwrap_or_else(|| ServerName::IpAddress(address.into()));
        ClientConnection::new(config, name).map_err(|error| reason_of(&error))
    }
}

impl Tls {
    /// Whether more is asked of the certificate than that it verifies.
    pub(super) fn asks_for_certificate(&self) -> bool {
        !self.demands.is_empty()
    }

    /// Looks at the certificate of a peer with which the handshake is done; the days it has left, where that was asked.
    pub(super) fn judge_peer(
        &self,
        client: &ClientConnection,
        now: SystemTime,
    ) -> Result<Option<i64>, Reason> {
        if self.demands.is_empty() {
            return Ok(None);
        }
        match client.peer_certificates().and_then(<[_]>::first) {
            Some(certificate) => self.demands.judge(certificate, now).map(Some),
            None => Err(Reason::TlsCertificate("missing".into())),
        }
    }
}

/// The reason a TLS error is rendered as.
pub(super) fn reason_of(error: &rustls::Error) -> Reason {
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return Reason::Tls(error.to_string().into());
    };
    Reason::TlsCertificate(match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired".into(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not valid yet".into(),
        CertificateError::UnknownIssuer => "of an unknown issuer".into(),
        CertificateError::NotValidForName => "not valid for the name".into(),
        CertificateError::Revoked => "revoked".into(),
        CertificateError::BadSignature => "does not fit the handshake's signature".into(),
        other => {
            let text = other.to_string();
            text.strip_prefix("certificate ").unwrap_or(&text).into()
        }
    })
}

/// The two client configurations a process needs: without and with verification. A failure is not kept here, only in
/// the monitor it was met for; the next reload makes that anew, and begins its targets' probing anew with it.
static CONFIGS: Mutex<[Option<Arc<ClientConfig>>; 2]> = Mutex::new([None, None]);

fn shared_config(verify: bool) -> Result<Arc<ClientConfig>, Reason> {
    let mut configs = CONFIGS.lock();
    if let Some(config) = &configs[usize::from(verify)] {
        return Ok(config.clone());
    }
    let verifier: Arc<dyn ServerCertVerifier> =
        if verify { verifying(native_roots()?)? } else { Arc::new(AcceptAny { provider: provider() }) };
    let config = Arc::new(client_config(verifier)?);
    configs[usize::from(verify)] = Some(config.clone());
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Reason> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| reason_of(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn verifying(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, Reason> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| Reason::Prober(ProberFault::Roots(error.to_string().into())))
}

fn native_roots() -> Result<RootCertStore, Reason> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let what = found.errors.first().map_or_else(|| "none found".to_string(), ToString::to_string);
    Err(Reason::Prober(ProberFault::Roots(what.into())))
}

/// Accepts every certificate, but not a handshake that its key did not sign.
#[derive(Debug)]
struct AcceptAny {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(in crate::health) mod tests {
    use super::*;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    /// A server with a certificate of its own making for `name`, and that certificate.
    pub(in crate::health) fn server_config(name: &str) -> (Arc<ServerConfig>, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed([name.to_string()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        (Arc::new(config), certificate)
    }

    /// A handshake in memory: what the client makes of it.
    fn handshake(client: &Tls, server: Arc<ServerConfig>) -> Result<(), Reason> {
        let mut client = client.connect("192.0.2.1".parse().unwrap())?;
        let mut server = ServerConnection::new(server).unwrap();
        while client.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).unwrap();
            server.read_tls(&mut octets.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut octets = Vec::new();
            server.write_tls(&mut octets).unwrap();
            client.read_tls(&mut octets.as_slice()).unwrap();
            client.process_new_packets().map_err(|error| reason_of(&error))?;
        }
        Ok(())
    }

    /// As `verify: true`, with these roots in place of the machine's.
    fn trusting(root: CertificateDer<'static>, server_name: &str) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        let config = verifying(roots).and_then(|verifier| client_config(verifier));
        Tls {
            config: config.map(Arc::new),
            server_name: Some(ServerName::try_from(server_name.to_string()).unwrap()),
            demands: Demands::new(&TlsProbe::default()),
        }
    }

    #[test]
    fn without_verification_any_certificate_will_do() {
        let (server, _) = server_config("other.example.com");
        for server_name in [None, Some("www.example.com".to_string())] {
            let client = Tls::new(&TlsProbe { server_name, ..TlsProbe::default() });
            assert_eq!(handshake(&client, server.clone()), Ok(()));
        }
    }

    #[test]
    fn with_verification_chain_and_name_must_fit() {
        let (server, certificate) = server_config("www.example.com");
        assert_eq!(handshake(&trusting(certificate.clone(), "www.example.com"), server.clone()), Ok(()));
        let reason = handshake(&trusting(certificate, "mail.example.com"), server.clone()).unwrap_err();
        assert!(reason.to_string().starts_with("tls: certificate not valid for name"), "{reason}");
        let (_, stranger) = server_config("www.example.com");
        let reason = handshake(&trusting(stranger, "www.example.com"), server).unwrap_err();
        assert!(reason.to_string().starts_with("tls: certificate "), "{reason}");
    }

    #[test]
    fn missing_roots_are_the_probers_fault() {
        let reason = verifying(RootCertStore::empty()).unwrap_err();
        assert!(matches!(reason, Reason::Prober(ProberFault::Roots(_))), "{reason}");
    }

    #[test]
    fn client_configurations_are_made_once() {
        let first = shared_config(false).unwrap();
        assert!(Arc::ptr_eq(&first, &shared_config(false).unwrap()));
    }
}
