//! A pad: a table of numbers that a test writes and reads as it likes, within one transaction.

use modulith_kernel::{
    Answer, Command, Context, Declaration, Handle, Module, Outcome, Query, Refusal, Schema, Setup,
    SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

/// One change of the pad.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub(crate) enum Stroke {
    Put(u32, u32),
    Remove(u32),
}

/// Which rows to read.
#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub(crate) struct Window {
    pub(crate) from: u32,
    /// Excluded.
    pub(crate) to: u32,
    pub(crate) limit: u32,
}

/// Changes the pad and reads it, in one transaction; erases its changes again if told to.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "pad", reply = Vec<(u32, u32)>, refusal = WriteRefusal)]
pub(crate) struct Write {
    pub(crate) strokes: Vec<Stroke>,
    pub(crate) read: Window,
    pub(crate) erase: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub(crate) enum WriteRefusal {
    #[refusal(precondition, "erased after reading {rows:?}")]
    Erased { rows: Vec<(u32, u32)> },
}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "pad", reply = Vec<(u32, u32)>)]
pub(crate) struct Read {
    pub(crate) read: Window,
}

const PAD: Table<u32, u32> = Table::new("pad");

pub(crate) struct Pad;

impl Module for Pad {
    const NAME: &'static str = "pad";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<Write>().answers::<Read>();
    }
}

impl Handle<Write> for Pad {
    fn handle(&self, command: Write, tx: &mut Tx<'_>) -> Outcome<Write> {
        for stroke in command.strokes {
            match stroke {
                Stroke::Put(key, value) => tx.put(&PAD, &key, &value)?,
                Stroke::Remove(key) => tx.remove(&PAD, &key),
            }
        }
        let Window { from, to, limit } = command.read;
        let rows = tx.range(&PAD, from..to, limit as usize)?;
        for (key, value) in &rows {
            assert_eq!(tx.get(&PAD, key)?, Some(*value), "get and range agree");
        }
        if command.erase {
            return Err(WriteRefusal::Erased { rows }.into());
        }
        Ok(rows)
    }
}

impl Answer<Read> for Pad {
    async fn answer(&self, query: Read, context: &Context) -> Outcome<Read> {
        let Window { from, to, limit } = query.read;
        Ok(context.snapshot()?.range(&PAD, from..to, limit as usize)?)
    }
}
