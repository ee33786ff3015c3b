//! Frames of the event buffer and the link, and what a filter leaves of them.

use arbitrary::Unstructured;
use bytes::Bytes;
use weft_core::buffer::frame::{decode, encode, peek, verify};
use weft_core::buffer::select::{Selection, select};
use weft_core::link::message::RowFilter;
use weft_core::link::outgoing::Outgoing;
use weft_core::scn::Scn;
use weft_core::transaction::Transaction;

use crate::{make, pack};

pub fn run(data: &[u8]) {
    let _ = (peek(data), verify(data));
    let mut u = Unstructured::new(data);
    let (Ok(mode), Ok(filter)) = (u.arbitrary::<u8>(), make::filter(&mut u)) else { return };
    let frame = if mode.is_multiple_of(2) {
        match make::transaction(&mut u) {
            Ok(transaction) => encode(&transaction).expect("a sound transaction"),
            Err(_) => return,
        }
    } else {
        pack::mend_frame(u.take_rest().to_vec())
    };
    let frame = Bytes::from(frame);
    if let Ok(transaction) = decode(&frame) {
        comes_back(&transaction);
        selected(&transaction, &filter);
        let mut outgoing = Outgoing::new(filter, Scn::ZERO);
        if let Some(sent) = outgoing.pass(&frame).expect("a sound frame").frame {
            decode(&sent).expect("what goes out can be read");
        }
    }
}

fn comes_back(transaction: &Transaction) {
    let frame = Bytes::from(encode(transaction).expect("what was read can be written"));
    assert_eq!(decode(&frame).as_ref(), Ok(transaction));
}

fn selected(transaction: &Transaction, filter: &RowFilter) {
    let Selection::Some(cut) = select(transaction, filter) else { return };
    assert!(cut.raw.len() <= transaction.raw.len(), "a part is longer than the whole");
    comes_back(&cut);
    assert!(!matches!(select(&cut, filter), Selection::Some(_)), "what was wanted is wanted still");
}
