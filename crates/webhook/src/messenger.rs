//! Messenger and Instagram Direct.

use crate::json::Document;
use crate::reading::Reading;
use guarita_message::Channel;

pub(crate) fn read<'a>(_document: &Document<'a>, _channel: Channel, _reading: &mut Reading<'a>) {}

pub(crate) fn messages(_document: &Document<'_>, _reading: &Reading<'_>, _out: &mut Vec<guarita_message::Message>) {}
