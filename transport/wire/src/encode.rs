//! Turns frames into bytes.

use crate::{
    Body, BulkHeader, Direction, Failure, Frame, Head, Hello, Reply, failure::code, frame::kind,
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
            Body::Inline(body) => request(it.id, &it.head, &it.baggage, body, out),
            Body::Bulk { bytes } => request_bulk(it.id, &it.head, &it.baggage, *bytes, out),
        },
        Frame::Reply(Reply { id, body }) => match body {
            Body::Inline(body) => reply(*id, body, out),
            Body::Bulk { bytes } => reply_bulk(*id, *bytes, out),
        },
        Frame::Fail { id, failure } => fail(*id, failure, out),
        Frame::Streaming { id } => streaming(*id, out),
        Frame::Cancel { id } => cancel(*id, out),
        Frame::GoAway => framed(kind::GO_AWAY, out, |_| ()),
    }
}

/// The length of a request frame without its body and baggage, the length prefix not counted.
pub(crate) const REQUEST_HEAD_BYTES: usize = 1 + 8 + 4 + 4 + 2 + 2 + 2 + 1 + 1 + 16;
/// The length of a reply frame without its body, the length prefix not counted.
pub(crate) const REPLY_HEAD_BYTES: usize = 1 + 8;

pub(crate) fn request(id: u64, head: &Head, baggage: &[u8], body: &[u8], out: &mut Vec<u8>) {
    let kind = if head.wants_stream {
        kind::STREAM_REQUEST
    } else {
        kind::REQUEST
    };
    framed(kind, out, |out| {
        let baggage = request_head(id, head, baggage, out);
        out.extend_from_slice(body);
        out.extend_from_slice(baggage);
    });
}

pub(crate) fn request_bulk(id: u64, head: &Head, baggage: &[u8], bytes: u32, out: &mut Vec<u8>) {
    let kind = if head.wants_stream {
        kind::STREAM_REQUEST_BULK
    } else {
        kind::REQUEST_BULK
    };
    framed(kind, out, |out| {
        let baggage = request_head(id, head, baggage, out);
        out.extend_from_slice(&bytes.to_le_bytes());
        out.extend_from_slice(baggage);
    });
}

/// Writes the fixed fields in one go. The baggage comes last, so that a body stays where it is
/// when the receiver cuts the baggage off.
fn request_head<'a>(id: u64, head: &Head, baggage: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let length = u8::try_from(baggage.len()).unwrap_or(u8::MAX);
    let mut fields = [0; REQUEST_HEAD_BYTES - 1];
    let mut rest = &mut fields[..];
    let mut put = |bytes: &[u8]| {
        let (field, after) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        field.copy_from_slice(bytes);
        rest = after;
    };
    put(&id.to_le_bytes());
    put(&head.deadline_ms.to_le_bytes());
    put(&head.sent_ms.to_le_bytes());
    put(&head.caller.to_le_bytes());
    put(&head.target.to_le_bytes());
    put(&head.partition.to_le_bytes());
    put(&[head.priority, length]);
    put(&head.message_id.to_le_bytes());
    out.extend_from_slice(&fields);
    &baggage[..length.into()]
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
        failure_fields(failure, out);
    });
}

pub(crate) fn failure_fields(failure: &Failure, out: &mut Vec<u8>) {
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
}

pub(crate) fn streaming(id: u64, out: &mut Vec<u8>) {
    framed(kind::STREAMING, out, |out| {
        out.extend_from_slice(&id.to_le_bytes());
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
        out.extend_from_slice(&hello.replica.to_le_bytes());
        out.extend_from_slice(&hello.replicas.to_le_bytes());
        count(hello.modules.len(), out);
        for module in hello.modules.iter().take(u16::MAX.into()) {
            name(module, out);
        }
        count(hello.partitions.len(), out);
        for (module, partitions) in hello.partitions.iter().take(u16::MAX.into()) {
            name(module, out);
            out.extend_from_slice(&partitions.to_le_bytes());
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
        Direction::Items => kind::ITEMS,
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
pub(crate) fn framed(kind: u8, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    fields(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
