//! Messenger and Instagram Direct: an attachment goes, the text becomes the notice.

use crate::json::{Changes, Document, NodeId};
use crate::orders::Order;

pub(super) fn withhold(_document: &Document<'_>, _changes: &mut Changes<'_, '_>, _message: NodeId, _order: &Order) {}
