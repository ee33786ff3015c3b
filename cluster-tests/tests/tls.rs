//! Accounts and sessions over TLS, on real servers with certificates of their own: statements, whose sessions
//! are the driver's, and dumps, whose sessions are Weft's.

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster_tests::events::{here, read_until};
use cluster_tests::on_both_flavours;
use cluster_tests::servers::{Flavour, Server, ServerOptions};
use mysql_async::prelude::Queryable;
use weft::mysql::connect::{ConnectError, Endpoint, Role, connect};
use weft::mysql::source::ServerSource;
use weft::mysql::tls::{Tls, TlsMode};
use weft_actors::ports::{Source, SourceError};

on_both_flavours! {
    each_mode_takes_the_certificates_that_it_should
    an_account_may_ask_for_tls
    a_password_is_shown_as_the_account_wants_it
}

/// An authority and the certificates that it signed.
struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let authority = Authority { directory: tempfile::tempdir().expect("a temporary directory") };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    /// A certificate of a server with this alternative name; as the server's arguments.
    fn sign(&self, name: &str) -> [String; 3] {
        std::fs::write(self.path("ext"), format!("subjectAltName = {name}\n")).expect("writable");
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=server",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            "server.pem",
        ]);
        let argument = |key: &str, file: &str| format!("--ssl-{key}={}", self.path(file).display());
        [argument("ca", "ca.pem"), argument("cert", "server.pem"), argument("key", "server.key")]
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

async fn secured(flavour: Flavour, certificate: [String; 3]) -> Server {
    let options = certificate.into_iter().fold(ServerOptions::of(flavour, 1), ServerOptions::arg);
    let server = Server::start(options).await;
    server.execute("CREATE USER weft@'%' IDENTIFIED BY 'a secret'").await;
    server
}

fn endpoint(server: &Server, mode: TlsMode, ca: Option<&Path>) -> Endpoint {
    Endpoint {
        user: "weft".into(),
        password: "a secret".into(),
        tls: Tls { mode, ca: ca.map(Path::to_owned) },
        ..server.endpoint()
    }
}

/// The cipher of a new session; empty without TLS.
async fn cipher(endpoint: &Endpoint) -> Result<String, ConnectError> {
    let mut conn = connect(endpoint, Role::Control).await?;
    let status: Option<(String, String)> =
        conn.query_first("SHOW SESSION STATUS LIKE 'Ssl_cipher'").await.expect("the server answers");
    Ok(status.expect("it has this status").1)
}

/// Reads one event of a new dump. The server has forgotten that the account showed its password before.
async fn dump(server: &Server, endpoint: &Endpoint) -> Result<(), SourceError> {
    server
        .execute(
            "GRANT REPLICATION SLAVE ON *.* TO weft@'%'; FLUSH PRIVILEGES; CREATE DATABASE IF NOT EXISTS d",
        )
        .await;
    let from = here(server).await;
    let source = ServerSource::new(endpoint.clone(), "sh.main", "sh-1");
    let mut stream = source.stream(from, server.server_id()).await?;
    server.execute("CREATE TABLE d.t (seen INT); DROP TABLE d.t").await;
    read_until(&mut stream, |event| event.windows(4).any(|word| word == b"seen")).await;
    Ok(())
}

async fn each_mode_takes_the_certificates_that_it_should(flavour: Flavour) {
    use TlsMode::*;
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (ca, other) = (ours.path("ca.pem"), theirs.path("ca.pem"));
    let mut server = secured(flavour, ours.sign("IP:127.0.0.1")).await;
    assert_eq!(cipher(&endpoint(&server, Off, None)).await, Ok(String::new()));
    for (mode, ca) in [(Required, None), (VerifyIdentity, Some(&*ca))] {
        let cipher = cipher(&endpoint(&server, mode, ca)).await;
        assert!(cipher.as_ref().is_ok_and(|cipher| !cipher.is_empty()), "{mode:?}: {cipher:?}");
        dump(&server, &endpoint(&server, mode, ca)).await.expect("the certificate is good enough");
    }
    dump(&server, &endpoint(&server, Off, None)).await.expect("the account may do without TLS");
    for ca in [None, Some(&*other)] {
        let error = cipher(&endpoint(&server, VerifyIdentity, ca)).await.expect_err("another authority");
        let ConnectError::Refused { cause, .. } = &error else { panic!("{error:?}") };
        assert!(cause.contains("certificate"), "{error}");
        let error =
            dump(&server, &endpoint(&server, VerifyIdentity, ca)).await.expect_err("another authority");
        assert!(matches!(&error, SourceError::Refused(cause) if cause.contains("certificate")), "{error}");
    }
    let missing = endpoint(&server, VerifyIdentity, Some(Path::new("/nowhere.pem")));
    let error = dump(&server, &missing).await.expect_err("there is no such file");
    assert!(matches!(&error, SourceError::Refused(_)), "{error}");
    // A certificate for another host.
    let options =
        ours.sign("DNS:db.example").into_iter().fold(ServerOptions::of(flavour, 1), ServerOptions::arg);
    server.restart_with(options).await;
    let error = cipher(&endpoint(&server, VerifyIdentity, Some(&ca))).await.expect_err("another host");
    assert!(matches!(&error, ConnectError::Refused { cause, .. } if cause.contains("name")), "{error}");
    let error = dump(&server, &endpoint(&server, VerifyIdentity, Some(&ca))).await.expect_err("another host");
    assert!(matches!(&error, SourceError::Refused(cause) if cause.contains("name")), "{error}");
    dump(&server, &endpoint(&server, Required, None)).await.expect("it takes whoever answers");
}

async fn an_account_may_ask_for_tls(flavour: Flavour) {
    let authority = Authority::new();
    let server = secured(flavour, authority.sign("IP:127.0.0.1")).await;
    server.execute("ALTER USER weft@'%' REQUIRE SSL").await;
    let error = cipher(&endpoint(&server, TlsMode::Off, None)).await.expect_err("without TLS");
    assert!(matches!(error, ConnectError::AccessDenied { .. }), "{error:?}");
    let error = dump(&server, &endpoint(&server, TlsMode::Off, None)).await.expect_err("without TLS");
    assert!(matches!(&error, SourceError::Refused(cause) if cause.contains("denied")), "{error:?}");
    let ca = authority.path("ca.pem");
    let cipher = cipher(&endpoint(&server, TlsMode::VerifyIdentity, Some(&ca))).await.expect("with TLS");
    assert!(!cipher.is_empty());
    dump(&server, &endpoint(&server, TlsMode::VerifyIdentity, Some(&ca))).await.expect("with TLS");
}

/// Without a password, with one that is longer than what hides it, and with one that is wrong.
async fn a_password_is_shown_as_the_account_wants_it(flavour: Flavour) {
    let server = Server::start(ServerOptions::of(flavour, 1)).await;
    server.execute("CREATE USER weft@'%'").await;
    let long = "0123456789".repeat(7);
    for password in ["", &long] {
        server.execute(&format!("ALTER USER weft@'%' IDENTIFIED BY '{password}'")).await;
        for mode in [TlsMode::Off, TlsMode::Required] {
            let endpoint = Endpoint { password: password.to_owned(), ..endpoint(&server, mode, None) };
            if flavour == Flavour::MariaDb && mode == TlsMode::Required {
                // It has no certificate.
                let error = dump(&server, &endpoint).await.expect_err("no TLS there");
                assert!(matches!(error, SourceError::Refused(_)), "{error:?}");
                continue;
            }
            dump(&server, &endpoint).await.expect("the password is right");
        }
    }
    for wrong in ["", "wrong"] {
        let endpoint = Endpoint { password: wrong.to_owned(), ..endpoint(&server, TlsMode::Off, None) };
        let error = dump(&server, &endpoint).await.expect_err("the password is wrong");
        assert!(matches!(&error, SourceError::Refused(cause) if cause.contains("denied")), "{error:?}");
    }
}
