//! The client's side of the protocol, as far as a binlog dump needs it.
//!
//! The driver has a dump too, but takes its events apart: it unpacks a compressed transaction as a whole, in
//! memory, however large it is. Here a packet is handed on as it came.
//! Source: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

mod greeting;
mod packet;
mod query;

use mysql_async::{DriverError, Error, ServerError};
use mysql_common::packets::ComRegisterSlave;
use mysql_common::packets::binlog_request::BinlogRequest;
use mysql_common::proto::MySerialize;
use tokio::io::{AsyncRead, AsyncWrite};

use super::dialect::Dialect;
use packet::Packets;

/// First bytes of answers.
const OK: u8 = 0x00;
const ERROR: u8 = 0xff;
const END: u8 = 0xfe;
/// A packet that begins with [`END`] is one only if it is shorter: it may be a row, or the request for another
/// authentication.
const END_BYTES_MAX: usize = 8;

/// What a session runs over: TCP, or TLS on it.
trait Link: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// A session. Dropping it closes the connection.
pub(super) struct Session {
    packets: Packets<Box<dyn Link>>,
    dialect: Dialect,
}

impl Session {
    /// What the server understands.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Shows the session in the server's list of replicas, and asks for the dump.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses the first of them. A refused dump is told by
    /// [`event`](Session::event).
    pub(super) async fn dump(&mut self, server_id: u32, request: &BinlogRequest<'_>) -> Result<(), Error> {
        self.packets.command(&serialized(&ComRegisterSlave::new(server_id))).await?;
        self.done().await?;
        self.packets.command(&serialized(&request.as_cmd())).await
    }

    /// The next event as the server sent it, checksum included; None: the dump has ended. Cancel-safe.
    ///
    /// # Errors
    /// The connection is lost, the server ends the dump with an error, or sends what is no event.
    pub(super) async fn event(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let mut packet = self.packets.read().await?;
        match packet.first() {
            Some(&OK) => {
                packet.drain(..1);
                Ok(Some(packet))
            }
            Some(&END) if packet.len() <= END_BYTES_MAX => Ok(None),
            _ => Err(refusal(packet)),
        }
    }
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

/// The error in a packet; that it has none and is not what was awaited, if so.
fn refusal(mut packet: Vec<u8>) -> Error {
    const PAYLOAD_BYTES_MAX: usize = 64;
    let [ERROR, low, high, text @ ..] = &packet[..] else {
        packet.truncate(PAYLOAD_BYTES_MAX);
        return DriverError::UnexpectedPacket { payload: packet }.into();
    };
    // Before it knows its client, the server leaves the state out.
    let (state, message) = match text {
        [b'#', rest @ ..] if rest.len() >= 5 => rest.split_at(5),
        text => (&b"HY000"[..], text),
    };
    let [state, message] = [state, message].map(|text| String::from_utf8_lossy(text).into_owned());
    ServerError { code: u16::from_le_bytes([*low, *high]), message, state }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_read_with_and_without_a_state() {
        let errors = [
            &b"\xff\x15\x04#28000Access denied"[..],
            b"\xff\x10\x04Too many connections",
            b"\xff\x10\x04#28",
        ];
        let read = errors.map(|packet| match refusal(packet.to_vec()) {
            Error::Server(error) => (error.code, error.state, error.message),
            other => panic!("{other:?}"),
        });
        let expected = [
            (1045, "28000", "Access denied"),
            (1040, "HY000", "Too many connections"),
            (1040, "HY000", "#28"),
        ];
        for (read, expected) in read.iter().zip(expected) {
            assert_eq!((read.0, &*read.1, &*read.2), expected);
        }
        for packet in [&b""[..], b"\xff", b"\xff\x10", b"\x07strange"] {
            let error = refusal(packet.to_vec());
            assert!(matches!(error, Error::Driver(DriverError::UnexpectedPacket { .. })), "{error:?}");
        }
    }
}
