//! Certificates: who this process is, and whom it believes.
//!
//! Between services, TLS hides what is said and, with a CA of the operator's
//! own, also says who may speak (mutual TLS): then a client certificate of that
//! CA is asked of everybody who connects. It takes the place of the
//! [`Token`](crate::token::Token), or stands before it.
//!
//! The CA is never one that sells to anybody: whoever it signs for is trusted
//! for signatures. So there is no fallback to the roots of the system. Files
//! are read and judged once, at the start; a new certificate takes a restart.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

/// A peer that has not shaken hands by then is not served.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// What this process knows of certificates. Has no `Debug`: a key is in it.
#[derive(Clone, Default)]
pub struct Tls {
    own: Option<Own>,
    /// The CA of the services we believe, in PEM.
    ca: Option<Vec<u8>>,
}

/// Who we are.
#[derive(Clone)]
struct Own {
    /// Our certificate, with those between it and its CA, in PEM.
    cert: Vec<u8>,
    /// Its key, in PEM.
    key: Vec<u8>,
    /// What is shown to strangers.
    shown: Arc<ServerConfig>,
}

/// Why a file is of no use. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// The file system's answer.
    #[error("cannot read {0}")]
    File(PathBuf, #[source] io::Error),
    /// Something else than PEM, or PEM of something else.
    #[error("{0} holds no {1} in PEM")]
    Pem(PathBuf, &'static str),
    /// They can be read, and do not go together.
    #[error("the certificate {0} cannot be used with its key")]
    Unusable(PathBuf, #[source] rustls::Error),
    /// No root in it.
    #[error("{0} holds no certificate of a CA")]
    Ca(PathBuf),
}

impl Tls {
    /// Reads PEM files: our certificate with its key, and the CA of our peers.
    ///
    /// # Errors
    /// A file cannot be read, is no PEM, or a key belongs to another certificate.
    pub fn read(own: Option<(&Path, &Path)>, ca: Option<&Path>) -> Result<Tls, BadTls> {
        let read = |file: &Path| fs::read(file).map_err(|error| BadTls::File(file.into(), error));
        let mut tls = Tls::default();
        if let Some((cert_file, key_file)) = own {
            let (cert, key) = (read(cert_file)?, read(key_file)?);
            let chain = certificates(&cert, cert_file)?;
            let secret = PrivateKeyDer::from_pem_slice(&key)
                .map_err(|_| BadTls::Pem(key_file.into(), "private key"))?;
            let mut config =
                server(chain, secret).map_err(|error| BadTls::Unusable(cert_file.into(), error))?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            tls.own = Some(Own { cert, key, shown: Arc::new(config) });
        }
        if let Some(file) = ca {
            let pem = read(file)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates(&pem, file)?);
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
                .build()
                .map_err(|_| BadTls::Ca(file.into()))?;
            tls.ca = Some(pem);
        }
        Ok(tls)
    }

    /// The CA that our peers must be of, in PEM.
    pub fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// For a listener that strangers may use, such as one for REST: shows our
    /// certificate and asks for none. `None` if we have no certificate.
    pub fn acceptor(&self) -> Option<TlsAcceptor> {
        self.own.as_ref().map(|own| TlsAcceptor::from(Arc::clone(&own.shown)))
    }

    /// What a caller shows and asks for.
    pub(crate) fn client(&self) -> ClientTlsConfig {
        let mut config = ClientTlsConfig::new().timeout(HANDSHAKE_MAX);
        if let Some(ca) = &self.ca {
            config = config.ca_certificate(Certificate::from_pem(ca));
        }
        match &self.own {
            Some(Own { cert, key, .. }) => config.identity(Identity::from_pem(cert, key)),
            None => config,
        }
    }

    /// What a gRPC listener shows and asks for; `None` if it speaks plainly.
    pub(crate) fn server(&self) -> Option<ServerTlsConfig> {
        let Own { cert, key, .. } = self.own.as_ref()?;
        let identity = Identity::from_pem(cert, key);
        let config = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_MAX);
        Some(match &self.ca {
            Some(ca) => config.client_ca_root(Certificate::from_pem(ca)),
            None => config,
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, BadTls> {
    let bad = || BadTls::Pem(file.into(), "certificate");
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(bad)
}
