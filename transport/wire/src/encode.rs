//! Turns frames into bytes.

use crate::{
    Body, BulkHeader, Direction, Failure, Frame, Hello, Reply, Request, failure::code, frame::kind,
};

/// Appends a frame to `out`.
///
/// The limits of the protocol are the caller's to keep, as [`Session`](crate::Session) does: a
/// name of more than 255 bytes, for one, is cut.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    match frame {
        Frame::Hello(it) => hello(it, out),
        Frame::ForeignHello { protocol_version } => framed(kind::HELLO, out, |out| {
            out.extend_from_slice(&protocol_version.to_le_bytes());
        }),
        Frame::Refuse { reason } => refuse(reason, out),
        Frame::Request(it) => match &it.body {
            Body::Inline(body) => request(it, body, out),
            Body::Bulk { bytes } => request_bulk(it, *bytes, out),
        },
        Frame::Reply(Reply { id, body }) => match body {
            Body::Inline(body) => reply(*id, body, out),
            Body::Bulk { bytes } => reply_bulk(*id, *bytes, out),
        },
        Frame::Fail { id, failure } => fail(*id, failure, out),
        Frame::Cancel { id } => cancel(*id, out),
        Frame::GoAway => framed(kind::GO_AWAY, out, |_| ()),
    }
}

/// The length of a request frame without its body, the length prefix not counted.
pub(crate) const REQUEST_HEAD_BYTES: usize = 1 + 8 + 4 + 2 + 2 + 16;
/// The length of a reply frame without its body, the length prefix not counted.
pub(crate) const REPLY_HEAD_BYTES: usize = 1 + 8;

pub(crate) fn request(head: &Request, body: &[u8], out: &mut Vec<u8>) {
    framed(kind::REQUEST, out, |out| {
        request_head(head, out);
        out.extend_from_slice(body);
    });
}

pub(crate) fn request_bulk(head: &Request, bytes: u32, out: &mut Vec<u8>) {
    framed(kind::REQUEST_BULK, out, |out| {
        request_head(head, out);
        out.extend_from_slice(&bytes.to_le_bytes());
    });
}

fn request_head(head: &Request, out: &mut Vec<u8>) {
    out.extend_from_slice(&head.id.to_le_bytes());
    out.extend_from_slice(&head.deadline_ms.to_le_bytes());
    out.extend_from_slice(&head.caller.to_le_bytes());
    out.extend_from_slice(&head.target.to_le_bytes());
    out.extend_from_slice(&head.message_id.to_le_bytes());
}

pub(crate) fn reply(id: u64, body: &[u8], out: &mut Vec<u8>) {
    framed(kind::REPLY, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(body);
    });
}

pub(crate) fn reply_bulk(id: u64, bytes: u32, out: &mut Vec<u8>) {
    framed(kind::REPLY_BULK, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&bytes.to_le_bytes());
    });
}

pub(crate) fn fail(id: u64, failure: &Failure, out: &mut Vec<u8>) {
    framed(kind::FAIL, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
        match failure {
            Failure::TooLarge { bytes, bytes_max } => {
                out.push(code::TOO_LARGE);
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend_from_slice(&bytes_max.to_le_bytes());
            }
            Failure::Overloaded { retry_after_ms } => {
                out.push(code::OVERLOADED);
                out.extend_from_slice(&retry_after_ms.to_le_bytes());
            }
            Failure::Stopped { reason } => {
                out.push(code::STOPPED);
                out.extend_from_slice(reason.as_bytes());
            }
            Failure::Panicked => out.push(code::PANICKED),
            Failure::Late => out.push(code::LATE),
            Failure::Cancelled => out.push(code::CANCELLED),
        }
    });
}

pub(crate) fn cancel(id: u64, out: &mut Vec<u8>) {
    framed(kind::CANCEL, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
    });
}

pub(crate) fn refuse(reason: &str, out: &mut Vec<u8>) {
    framed(kind::REFUSE, out, |out| {
        out.extend_from_slice(reason.as_bytes());
    });
}

pub(crate) fn hello(hello: &Hello, out: &mut Vec<u8>) {
    framed(kind::HELLO, out, |out| {
        out.extend_from_slice(&crate::PROTOCOL_VERSION.to_le_bytes());
        out.extend_from_slice(&hello.incarnation.to_le_bytes());
        name(&hello.application, out);
        name(&hello.process, out);
        count(hello.modules.len(), out);
        for module in hello.modules.iter().take(u16::MAX.into()) {
            name(module, out);
        }
        count(hello.messages.len(), out);
        for message in hello.messages.iter().take(u16::MAX.into()) {
            name(&message.name, out);
            out.extend_from_slice(&message.fingerprint.to_le_bytes());
        }
    });
}

pub(crate) fn bulk_header(header: BulkHeader, out: &mut Vec<u8>) {
    let kind = match header.direction {
        Direction::Request => kind::REQUEST_BODY,
        Direction::Reply => kind::REPLY_BODY,
    };
    framed(kind, out, |out| {
        out.extend_from_slice(&header.id.to_le_bytes());
    });
}

fn name(name: &str, out: &mut Vec<u8>) {
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&name.as_bytes()[..length.into()]);
}

fn count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
}

/// Writes the kind and the fields, then the length in front of them.
fn framed(kind: u8, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    fields(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
