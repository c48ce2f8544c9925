//! Telegram's updates.

use crate::json::Document;
use crate::reading::Reading;

pub(crate) fn read<'a>(_document: &Document<'a>, _reading: &mut Reading<'a>) {}

pub(crate) fn messages(_document: &Document<'_>, _reading: &Reading<'_>, _out: &mut Vec<guarita_message::Message>) {}
