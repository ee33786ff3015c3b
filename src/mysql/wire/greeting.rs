//! How a session begins: the server's greeting, TLS, and who we are.

use std::panic::catch_unwind;

use mysql_async::consts::CapabilityFlags;
use mysql_async::{DriverError, Error, IoError, TlsError};
use mysql_common::crypto;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::{END, Link, OK, Packets, Session, refusal, serialized};
use crate::mysql::connect::Endpoint;
use crate::mysql::dialect::Dialect;

/// What the server sends at most, by our word; dumps send more.
const MAX_ALLOWED_PACKET: u32 = 64 << 20;
const UTF8MB4_GENERAL_CI: u8 = 45;

/// First byte of more about the authentication that is under way, and what may follow it.
const MORE: u8 = 0x01;
const SHA2_KNOWN: u8 = 0x03;
const SHA2_TELL: u8 = 0x04;
/// Asks for the server's public key.
const SHA2_KEY: u8 = 0x02;

impl Session {
    /// Opens a session, over TLS if the endpoint says so.
    ///
    /// # Errors
    /// Nobody listens there, the server or its certificate is not the right one, or it refuses the account.
    pub(in crate::mysql) async fn open(endpoint: &Endpoint) -> Result<Session, Error> {
        let tcp = TcpStream::connect((&*endpoint.host, endpoint.port)).await.map_err(IoError::Io)?;
        tcp.set_nodelay(true).map_err(IoError::Io)?;
        let mut plain = Packets::new(tcp);
        let packet = plain.read().await?;
        let greeting = match ParseBuf(&packet).parse::<HandshakePacket<'_>>(()) {
            Ok(greeting) => greeting.into_owned(),
            Err(_) => return Err(refusal(packet)),
        };
        let connector = endpoint.tls.connector()?;
        let is_secure = connector.is_some();
        let capabilities = capabilities(&greeting, is_secure)?;
        let mut packets = match connector {
            None => plain.over(async |tcp| Ok(Box::new(tcp) as Box<dyn Link>)).await?,
            Some(connector) => {
                let request = SslRequest::new(capabilities, MAX_ALLOWED_PACKET, UTF8MB4_GENERAL_CI);
                plain.write(&serialized(&request)).await?;
                let name = ServerName::try_from(endpoint.host.clone()).map_err(TlsError::InvalidDnsName)?;
                plain
                    .over(async |tcp| {
                        let tls = connector.connect(name, tcp).await.map_err(IoError::Io)?;
                        Ok(Box::new(tls) as Box<dyn Link>)
                    })
                    .await?
            }
        };
        authenticate(&mut packets, endpoint, &greeting, capabilities, is_secure).await?;
        Ok(Session { packets, dialect: Dialect::from(&*greeting.server_version_str()) })
    }
}

/// What both sides can do.
fn capabilities(greeting: &HandshakePacket<'_>, is_secure: bool) -> Result<CapabilityFlags, Error> {
    let wanted = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
    let both = wanted & greeting.capabilities();
    match (is_secure, greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL)) {
        (true, false) => Err(DriverError::NoClientSslFlagFromServer.into()),
        (true, true) => Ok(both | CapabilityFlags::CLIENT_SSL),
        (false, _) => Ok(both),
    }
}

/// The two ways of showing a password that the driver of the other sessions has as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plugin {
    Native,
    Sha2,
}

impl Plugin {
    fn of(plugin: &AuthPlugin<'_>) -> Result<Plugin, Error> {
        match plugin {
            AuthPlugin::MysqlNativePassword => Ok(Plugin::Native),
            AuthPlugin::CachingSha2Password => Ok(Plugin::Sha2),
            other => {
                let name = String::from_utf8_lossy(other.as_bytes()).into_owned();
                Err(DriverError::UnknownAuthPlugin { name }.into())
            }
        }
    }

    fn plugin(self) -> AuthPlugin<'static> {
        match self {
            Plugin::Native => AuthPlugin::MysqlNativePassword,
            Plugin::Sha2 => AuthPlugin::CachingSha2Password,
        }
    }

    /// What shows that we know the password; nothing without one.
    fn proof(self, password: &str, nonce: &[u8]) -> Vec<u8> {
        self.plugin().gen_data(Some(password), nonce).map_or_else(Vec::new, |proof| proof.to_vec())
    }
}

async fn authenticate(
    packets: &mut Packets<Box<dyn Link>>,
    endpoint: &Endpoint,
    greeting: &HandshakePacket<'_>,
    capabilities: CapabilityFlags,
    is_secure: bool,
) -> Result<(), Error> {
    // One that we do not know is the server's default for others: it asks for ours by name.
    let default = greeting.auth_plugin().map(|plugin| Plugin::of(&plugin));
    let mut plugin = default.and_then(Result::ok).unwrap_or(Plugin::Native);
    let mut nonce = greeting.nonce();
    let response = HandshakeResponse::new(
        Some(plugin.proof(&endpoint.password, &nonce)),
        (8, 0, 0),
        Some(endpoint.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.plugin()),
        capabilities,
        None,
        MAX_ALLOWED_PACKET,
    );
    packets.write(&serialized(&response)).await?;
    let mut switched = false;
    loop {
        let packet = packets.read().await?;
        match packet[..] {
            [OK, ..] => return Ok(()),
            [END, _, ..] if !switched => {
                switched = true;
                let request: AuthSwitchRequest<'_> = ParseBuf(&packet).parse(()).map_err(IoError::Io)?;
                plugin = Plugin::of(&request.auth_plugin())?;
                nonce = request.plugin_data().to_vec();
                packets.write(&plugin.proof(&endpoint.password, &nonce)).await?;
            }
            [MORE, SHA2_KNOWN] if plugin == Plugin::Sha2 => {}
            [MORE, SHA2_TELL] if plugin == Plugin::Sha2 => {
                let password = [endpoint.password.as_bytes(), b"\0"].concat();
                let told = if is_secure { password } else { sealed(packets, password, &nonce).await? };
                packets.write(&told).await?;
            }
            _ => return Err(refusal(packet)),
        }
    }
}

/// The password for the eyes of whoever has the server's private key.
async fn sealed(
    packets: &mut Packets<Box<dyn Link>>,
    mut password: Vec<u8>,
    nonce: &[u8],
) -> Result<Vec<u8>, Error> {
    packets.write(&[SHA2_KEY]).await?;
    let packet = packets.read().await?;
    let [MORE, key @ ..] = &packet[..] else { return Err(refusal(packet)) };
    for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    // It panics on what is no key.
    catch_unwind(|| crypto::encrypt(&password, key)).map_err(|_| refusal(packet.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::tls::Tls;

    async fn greeted_with(greeting: Vec<u8>) -> Error {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client comes");
            Packets::new(stream).write(&greeting).await.expect("the client reads");
        });
        let endpoint = Endpoint {
            host: "127.0.0.1".into(),
            port,
            user: "weft".into(),
            password: "secret".into(),
            tls: Tls::default(),
        };
        let error = Session::open(&endpoint).await.err().expect("this is no server");
        server.await.expect("the server does not panic");
        error
    }

    #[tokio::test]
    async fn whatever_greets_is_no_panic() {
        let error = greeted_with(b"\xff\x10\x04Too many connections".to_vec()).await;
        assert!(matches!(&error, Error::Server(server) if server.code == 1040), "{error:?}");
        for greeting in [&b""[..], b"\x0a", b"\x0a10.11.1-MariaDB\0\x01", b"HTTP/1.1 400 Bad Request\r\n"] {
            let error = greeted_with(greeting.to_vec()).await;
            assert!(matches!(error, Error::Driver(_) | Error::Io(_)), "{error:?}");
        }
    }
}
