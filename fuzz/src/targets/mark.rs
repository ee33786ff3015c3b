//! The body of a mark row: what a row of `weft.mark`, whoever wrote it, makes of a capture.

use arbitrary::Unstructured;
use weft_core::mark::Mark;

use crate::make;

pub fn run(data: &[u8]) {
    if let Ok(mark) = Mark::decode(data) {
        assert_eq!(Mark::decode(&mark.encode()), Ok(mark));
    }
    if let Ok(mark) = make::mark(&mut Unstructured::new(data)) {
        assert_eq!(Mark::decode(&mark.encode()), Ok(mark));
    }
}
