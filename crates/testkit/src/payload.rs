//! Deliveries as Meta sends them in 2026: business-scoped user ids, urls inside media objects.

use crate::Media;
use serde_json::{Value, json};

/// Who writes to whom.
#[derive(Clone, Debug)]
pub struct Customer {
    pub name: &'static str,
    pub phone: String,
}

impl Customer {
    pub fn new(name: &'static str, phone: &str) -> Self {
        Customer { name, phone: phone.into() }
    }

    /// The business-scoped id that goes with the phone number.
    pub fn user_id(&self) -> String {
        format!("BR.{}", self.phone)
    }
}

pub const PHONE_NUMBER_ID: &str = "106540352242922";
pub const ACCOUNT_ID: &str = "102290129340398";

/// One WhatsApp message in its envelope; `content` is `{"type": …, "<type>": …}` and what else the message carries.
pub fn whatsapp(customer: &Customer, id: &str, timestamp: u64, content: Value) -> Value {
    let mut message = json!({
        "from": customer.phone, "from_user_id": customer.user_id(), "id": id, "timestamp": timestamp.to_string(),
    });
    if let (Some(message), Value::Object(content)) = (message.as_object_mut(), content) {
        message.extend(content);
    }
    envelope(json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID},
        "contacts": [{
            "profile": {"name": customer.name}, "wa_id": customer.phone, "user_id": customer.user_id(),
        }],
        "messages": [message],
    }))
}

pub fn envelope(value: Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": ACCOUNT_ID, "changes": [{"value": value, "field": "messages"}]}],
    })
}

/// One item of Messenger (`object` is `page`) or Instagram Direct (`instagram`): `content` is `{"message": …}`,
/// `{"postback": …}` and so on.
pub fn direct(object: &str, account: &str, customer: &str, time: u64, content: Value) -> Value {
    let mut item = json!({"sender": {"id": customer}, "recipient": {"id": account}, "timestamp": time});
    if let (Some(item), Value::Object(content)) = (item.as_object_mut(), content) {
        item.extend(content);
    }
    json!({"object": object, "entry": [{"id": account, "time": time, "messaging": [item]}]})
}

/// A message of Messenger or Instagram with one attachment.
pub fn attachment(mid: &str, kind: &str, url: &str) -> Value {
    json!({"message": {"mid": mid, "attachments": [{"type": kind, "payload": {"url": url}}]}})
}

/// One of Telegram's updates: `content` is what the message holds beside who, where and when.
pub fn telegram(update_id: u64, content: Value) -> Value {
    let mut message = json!({
        "message_id": update_id, "date": 1_763_800_000,
        "from": {"id": 4242, "is_bot": false, "first_name": "Ana"},
        "chat": {"id": 4242, "first_name": "Ana", "type": "private"},
    });
    if let (Some(message), Value::Object(content)) = (message.as_object_mut(), content) {
        message.extend(content);
    }
    json!({"update_id": update_id, "message": message})
}

pub fn text(body: &str) -> Value {
    json!({"type": "text", "text": {"body": body}})
}

/// `kind` is `image`, `document`, `audio`, `video` or `sticker`.
pub fn media(
    kind: &str,
    id: &str,
    media: &Media,
    url: Option<String>,
    name: Option<&str>,
    caption: Option<&str>,
) -> Value {
    let mut object = json!({"mime_type": media.mime_type, "sha256": media.sha256_base64(), "id": id});
    if let Some(object) = object.as_object_mut() {
        for (key, value) in [("url", url.as_deref()), ("filename", name), ("caption", caption)] {
            if let Some(value) = value {
                object.insert(key.into(), value.into());
            }
        }
    }
    json!({"type": kind, kind: object})
}

/// What Meta says of a message that the business sent.
pub fn status(recipient: &Customer, id: &str, status: &str) -> Value {
    envelope(json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID},
        "statuses": [{
            "id": id, "status": status, "timestamp": "1763800000", "recipient_id": recipient.phone,
            "recipient_user_id": recipient.user_id(),
        }],
    }))
}
