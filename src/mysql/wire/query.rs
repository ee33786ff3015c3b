//! Statements, and answers of one value.

use mysql_async::Error;
use mysql_common::io::ParseBuf;

use super::{END, END_BYTES_MAX, ERROR, OK, Session, refusal};

const COM_QUERY: u8 = 0x03;
/// In the place of a value's length.
const NULL: u8 = 0xfb;

impl Session {
    /// Runs one statement that answers no rows.
    ///
    /// # Errors
    /// The server refuses it, or the connection is lost.
    pub(in crate::mysql) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.ask(sql).await?;
        self.done().await
    }

    /// The first column of the only row that a query answers; None for NULL, and where there is no row.
    ///
    /// # Errors
    /// The server refuses it, or the connection is lost.
    pub(in crate::mysql) async fn value(&mut self, sql: &str) -> Result<Option<String>, Error> {
        self.ask(sql).await?;
        let head = self.packets.read().await?;
        if matches!(head.first(), None | Some(&(OK | NULL | ERROR))) {
            return Err(refusal(head));
        }
        while !is_end(&self.packets.read().await?) {
            // What the columns are called was in the question.
        }
        let mut value = None;
        loop {
            let row = self.packets.read().await?;
            match row.first() {
                _ if is_end(&row) => return Ok(value),
                None | Some(&ERROR) => return Err(refusal(row)),
                Some(&NULL) => {}
                Some(_) => {
                    let Some(text) = ParseBuf(&row).checked_eat_lenenc_str() else {
                        return Err(refusal(row));
                    };
                    value = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
        }
    }

    async fn ask(&mut self, sql: &str) -> Result<(), Error> {
        self.packets.command(&[&[COM_QUERY], sql.as_bytes()].concat()).await
    }

    /// Waits until the server has done what it was told.
    pub(super) async fn done(&mut self) -> Result<(), Error> {
        let answer = self.packets.read().await?;
        if answer.first() == Some(&OK) { Ok(()) } else { Err(refusal(answer)) }
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&END) && packet.len() <= END_BYTES_MAX
}
