//! Sessions over TLS.

use std::path::PathBuf;
use std::sync::Arc;

use mysql_async::{SslOpts, TlsError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

/// How much of TLS an instance's sessions ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// None: what goes over the wire can be read.
    #[default]
    Off,
    /// Encrypted, to whoever answers.
    Required,
    /// Only to a server whose certificate an authority has signed and names the host of the instance's
    /// url.
    VerifyIdentity,
}

/// The `tls` of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    pub mode: TlsMode,
    /// Certificates of the authorities, PEM; None: those that browsers trust.
    pub ca: Option<PathBuf>,
}

impl Tls {
    /// The same in the driver's words; None: without TLS.
    pub(super) fn options(&self) -> Option<SslOpts> {
        let authorities = self.ca.iter().cloned().map(Into::into).collect();
        let options = SslOpts::default()
            .with_root_certs(authorities)
            .with_disable_built_in_roots(self.ca.is_some())
            .with_danger_accept_invalid_certs(self.mode == TlsMode::Required);
        (self.mode != TlsMode::Off).then_some(options)
    }

    /// The same for sessions of our own.
    ///
    /// # Errors
    /// The authorities' file cannot be read, or holds no certificates.
    pub(super) fn connector(&self) -> Result<Option<TlsConnector>, mysql_async::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Tls)?;
        let config = match self.mode {
            TlsMode::Off => return Ok(None),
            TlsMode::Required => {
                let whoever = Arc::new(Whoever(ring::default_provider()));
                builder.dangerous().with_custom_certificate_verifier(whoever).with_no_client_auth()
            }
            TlsMode::VerifyIdentity => {
                builder.with_root_certificates(self.authorities()?).with_no_client_auth()
            }
        };
        Ok(Some(TlsConnector::from(Arc::new(config))))
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match &self.ca {
            None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(file) => {
                for certificate in CertificateDer::pem_file_iter(file)? {
                    store.add(certificate?)?;
                }
            }
        }
        Ok(store)
    }
}

/// Takes every certificate; what is signed must be signed by its key all the same.
#[derive(Debug)]
struct Whoever(CryptoProvider);

impl ServerCertVerifier for Whoever {
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
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
