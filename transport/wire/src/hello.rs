//! How a process introduces itself.

use std::collections::HashSet;

use crate::{DecodeError, Frame, Limits, PROTOCOL_VERSION, encode, read::Reader};

/// What a process says about itself when a connection opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// The application it belongs to.
    pub application: String,
    /// Its name, unique in the application.
    pub process: String,
    /// Tells two runs of the same process apart.
    pub incarnation: u64,
    /// Which of its replicas this is, from 0.
    pub replica: u16,
    /// How many replicas it has, as far as this one knows.
    pub replicas: u16,
    /// The modules it hosts. The caller of a request is an index into them.
    pub modules: Vec<String>,
    /// Of each module known to be divided, wherever it is hosted: into how many partitions.
    pub partitions: Vec<(String, u16)>,
    /// The messages it knows. The target of a request is an index into the receiver's.
    pub messages: Vec<MessageSchema>,
}

/// A message that a process knows, and the fingerprint of its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSchema {
    /// The name, as `module.Message`.
    pub name: String,
    /// Made from its shape; where two processes differ, they do not connect.
    pub fingerprint: u64,
}

/// This process, checked and ready for any number of sessions.
#[derive(Debug)]
pub struct Local {
    pub(crate) hello: Hello,
    pub(crate) encoded: Vec<u8>,
    pub(crate) limits: Limits,
}

impl Local {
    /// Checks a hello against the limits and encodes it once.
    ///
    /// # Errors
    ///
    /// [`HelloError`] when the hello would be refused by every peer with the same limits.
    pub fn new(hello: Hello, limits: Limits) -> Result<Self, HelloError> {
        hello.check(&limits)?;
        let mut encoded = Vec::new();
        encode::hello(&hello, &mut encoded);
        let bytes = encoded.len() - 4;
        if bytes > limits.hello_bytes_max as usize {
            return Err(HelloError::TooLong {
                bytes,
                bytes_max: limits.hello_bytes_max,
            });
        }
        Ok(Self {
            hello,
            encoded,
            limits,
        })
    }

    /// What this process says about itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The bounds of its sessions.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Hello {
    fn check(&self, limits: &Limits) -> Result<(), HelloError> {
        let names = [&self.application, &self.process]
            .into_iter()
            .chain(&self.modules)
            .chain(self.partitions.iter().map(|(module, _)| module));
        for name in names.chain(self.messages.iter().map(|message| &message.name)) {
            if name.is_empty() || name.len() > limits.name_bytes_max.into() {
                return Err(HelloError::Name {
                    name: name.clone(),
                    bytes_max: limits.name_bytes_max,
                });
            }
        }
        within("modules", self.modules.len(), limits.modules_max)?;
        within(
            "partitioned modules",
            self.partitions.len(),
            limits.modules_max,
        )?;
        within("messages", self.messages.len(), limits.messages_max)?;
        self.check_unique()
    }

    /// Indices into a list with repetitions would be ambiguous.
    pub(crate) fn check_unique(&self) -> Result<(), HelloError> {
        let mut seen = HashSet::new();
        let twice = self.modules.iter().find(|name| !seen.insert(name.as_str()));
        seen.clear();
        let mut divided = self.partitions.iter().map(|(module, _)| module);
        let twice = twice.or_else(|| divided.find(|name| !seen.insert(name.as_str())));
        seen.clear();
        let mut messages = self.messages.iter().map(|message| &message.name);
        match twice.or_else(|| messages.find(|name| !seen.insert(name.as_str()))) {
            Some(name) => Err(HelloError::Twice { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Reads the fields of a hello; of another version only that.
    pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Frame, DecodeError> {
        let mut fields = Reader::new(bytes);
        let protocol_version = fields.u16()?;
        if protocol_version != PROTOCOL_VERSION {
            return Ok(Frame::ForeignHello { protocol_version });
        }
        let incarnation = fields.u64()?;
        let name = |fields: &mut Reader<'_>| fields.name(limits.name_bytes_max).map(str::to_owned);
        let application = name(&mut fields)?;
        let process = name(&mut fields)?;
        let (replica, replicas) = (fields.u16()?, fields.u16()?);
        let modules = (0..count("modules", &mut fields, limits.modules_max)?)
            .map(|_| name(&mut fields))
            .collect::<Result<_, _>>()?;
        let partitions = (0..count("partitioned modules", &mut fields, limits.modules_max)?)
            .map(|_| Ok((name(&mut fields)?, fields.u16()?)))
            .collect::<Result<_, _>>()?;
        let messages = (0..count("messages", &mut fields, limits.messages_max)?)
            .map(|_| {
                Ok(MessageSchema {
                    name: name(&mut fields)?,
                    fingerprint: fields.u64()?,
                })
            })
            .collect::<Result<_, _>>()?;
        if !fields.is_empty() {
            return Err(DecodeError::Trailing);
        }
        Ok(Frame::Hello(Self {
            application,
            process,
            incarnation,
            replica,
            replicas,
            modules,
            partitions,
            messages,
        }))
    }
}

fn within(what: &'static str, count: usize, count_max: u16) -> Result<(), HelloError> {
    if count > count_max.into() {
        return Err(HelloError::TooMany {
            what,
            count,
            count_max,
        });
    }
    Ok(())
}

fn count(what: &'static str, fields: &mut Reader<'_>, count_max: u16) -> Result<u16, DecodeError> {
    let count = fields.u16()?;
    if count > count_max {
        return Err(DecodeError::TooMany {
            what,
            count,
            count_max,
        });
    }
    Ok(count)
}

/// A hello that no peer would accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// A name is empty or too long.
    #[error("the name {name:?} must have 1 to {bytes_max} bytes")]
    Name {
        /// The name.
        name: String,
        /// The limit.
        bytes_max: u8,
    },
    /// There are too many of something.
    #[error("{count} {what} are more than the limit of {count_max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        count_max: u16,
    },
    /// A name is listed more than once.
    #[error("{name} is listed twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// All of it together is too long.
    #[error("a hello of {bytes} bytes is longer than the limit of {bytes_max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: u32,
    },
}
