//! Sessions over TLS.

use std::path::PathBuf;

use mysql_async::SslOpts;

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
}
