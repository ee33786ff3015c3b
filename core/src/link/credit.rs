//! Byte credit of a pull: how much the serving side may send before the pulling side has room.
//!
//! The pulling side owns a window of bytes. What it received and did not give back fills the window;
//! what is left has been granted to the server. The server stops when its grant is used up; the
//! frame that uses it up may overdraw it, so a window smaller than one frame still moves.

/// The pulling side's account. All numbers are bytes of frames.
#[derive(Debug, Clone)]
pub struct Window {
    window: u64,
    /// Received and not given back.
    held: u64,
    /// What the server may still send as far as it was told; below 0 once it overdrew.
    granted: i64,
}

impl Window {
    /// An empty window of so many bytes, at least 1.
    pub fn new(window_bytes: u64) -> Window {
        Window { window: window_bytes.clamp(1, 1 << 62), held: 0, granted: 0 }
    }

    /// A new connection begins: the grant that its first message carries. What the old connection's
    /// server was granted is forgotten, what is held is not.
    pub fn connect(&mut self) -> u64 {
        let grant = self.window.saturating_sub(self.held);
        self.granted = signed(grant);
        grant
    }

    /// A frame came.
    pub fn receive(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
        self.granted = self.granted.saturating_sub(signed(bytes));
    }

    /// The consumer is done with so many bytes.
    pub fn give_back(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// What to grant now, if it is worth a message: at least a sixteenth of the window, or the server
    /// would stand still without it.
    pub fn grant(&mut self) -> Option<u64> {
        let due = signed(self.window) - signed(self.held) - self.granted;
        let worth = due >= signed(self.window / 16).max(1) || self.held == 0 || self.granted <= 0;
        if due <= 0 || !worth {
            return None;
        }
        self.granted += due;
        Some(due as u64)
    }

    /// Received and not given back, in bytes.
    pub fn held(&self) -> u64 {
        self.held
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Event {
        Frame(u64),
        GiveBack(u64),
        Reconnect,
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (1u64..400).prop_map(Event::Frame),
            4 => (1u64..800).prop_map(Event::GiveBack),
            1 => Just(Event::Reconnect),
        ]
    }

    proptest! {
        /// The server model sends whenever it has credit; frames that it may not send do not happen.
        #[test]
        fn held_bytes_stay_within_the_window_and_one_frame_and_the_server_never_starves(
            window in 1u64..1000,
            events in proptest::collection::vec(any_event(), 1..200),
        ) {
            let mut account = Window::new(window);
            let mut server = signed(account.connect());
            for event in events {
                match event {
                    Event::Frame(bytes) if server > 0 => {
                        server -= signed(bytes);
                        account.receive(bytes);
                    }
                    Event::Frame(_) => {}
                    Event::GiveBack(bytes) => account.give_back(bytes.min(account.held())),
                    Event::Reconnect => server = signed(account.connect()),
                }
                if let Some(grant) = account.grant() {
                    server += signed(grant);
                }
                prop_assert!(account.held() < window + 400, "held {}", account.held());
                prop_assert!(account.held() > 0 || server == signed(window), "{account:?} {server}");
                prop_assert!(account.held() >= window || server > 0, "{account:?} {server}");
            }
        }
    }

    #[test]
    fn small_returns_are_gathered_into_one_grant() {
        let mut account = Window::new(1600);
        assert_eq!(account.connect(), 1600);
        account.receive(400);
        account.give_back(60);
        assert_eq!(account.grant(), None);
        account.give_back(60);
        assert_eq!(account.grant(), Some(120));
    }
}
