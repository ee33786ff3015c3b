//! GTIDs as text and in the server's own encoding.

use weft_core::gtid::{GtidPosition, GtidSet};

pub fn run(data: &[u8]) {
    if let Ok(set) = GtidSet::decode(data) {
        assert_eq!(GtidSet::decode(&set.encode()).as_ref(), Ok(&set));
        let text = set.to_string();
        assert_eq!(text.parse::<GtidPosition>().map(|position| position.set().clone()), Ok(set), "{text}");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(position) = text.parse::<GtidPosition>() {
        assert_eq!(position.to_string().parse().as_ref(), Ok(&position));
        assert!(position.contains(&position) && position.can_follow(&position));
        assert_eq!(GtidSet::decode(&position.set().encode()).as_ref(), Ok(position.set()));
    }
}
