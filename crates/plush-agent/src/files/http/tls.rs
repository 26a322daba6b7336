//! Whom TLS trusts on this host, and the handshake.
//!
//! Not a choice to trust less: there is no switch that skips verification.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Trouble;
use super::url::Url;
use super::watch::Socket;

/// Where distributions keep the certificates that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// A larger bundle is not read.
const BUNDLE_BYTES: u64 = 16 << 20;

/// Certificates trusted besides the ones built in (Mozilla's).
#[derive(Debug, Clone)]
pub struct Trust {
    /// PEM files; missing ones are passed over.
    pub bundles: Vec<PathBuf>,
}

/// A connection under TLS.
pub type TlsStream<'a> = StreamOwned<ClientConnection, Socket<'a>>;

impl Default for Trust {
    /// What the host itself trusts.
    fn default() -> Self {
        Trust { bundles: BUNDLES.iter().map(PathBuf::from).collect() }
    }
}

impl Trust {
    /// The host's bundles and `SSL_CERT_FILE`, as `lookup` gives it.
    pub fn from_variables(lookup: &dyn Fn(&str) -> Option<String>) -> Trust {
        let mut trust = Trust::default();
        trust.bundles.extend(lookup("SSL_CERT_FILE").map(PathBuf::from));
        trust
    }

    /// Reads the bundles; to be done once per fetch that needs it.
    pub fn load(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for bundle in &self.bundles {
            roots.add_parsable_certificates(certificates(bundle));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// Shakes hands with the server of `url`.
pub fn handshake<'a>(
    config: &Arc<ClientConfig>,
    url: &Url,
    socket: Socket<'a>,
) -> Result<TlsStream<'a>, Trouble> {
    let host = url.host.trim_end_matches('.').to_owned();
    let name = ServerName::try_from(host)
        .map_err(|_| Trouble::NotHttp("its host name cannot be verified by TLS"))?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(Trouble::Tls)?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(error) => return Err(Trouble::of_io(error)),
        }
    }
    Ok(stream)
}

fn certificates(bundle: &Path) -> Vec<CertificateDer<'static>> {
    let read = || -> io::Result<Vec<u8>> {
        if std::fs::metadata(bundle)?.len() > BUNDLE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        std::fs::read(bundle)
    };
    let text = read().unwrap_or_default();
    CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect()
}
