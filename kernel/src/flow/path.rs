//! Which step of a flow: the same step has the same path every time the flow's code runs.

use std::fmt;

use modulith_contract::{Key, MalformedKey};

/// The numbers of the branches down to a step, and the step's own number; each counted from 1 in
/// the order in which the code takes them. Printed as `3` or `2.1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<u32>);

/// The first number of a step that takes another one back; the rest is the other one's path.
const UNDO: u32 = u32::MAX;

impl Path {
    pub(crate) fn child(&self, number: u32) -> Self {
        let mut path = self.0.clone();
        path.push(number);
        Self(path)
    }

    /// The path of the step that takes this one back.
    pub(crate) fn undo(&self) -> Self {
        Self([&[UNDO], self.0.as_slice()].concat())
    }

    pub(crate) fn is_undo(&self) -> bool {
        self.0.first() == Some(&UNDO)
    }

    /// A path behind all others.
    pub(crate) fn last() -> Self {
        Self(vec![u32::MAX, u32::MAX])
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = match self.0.as_slice() {
            [UNDO, rest @ ..] => {
                f.write_str("undo ")?;
                rest
            }
            all => all,
        };
        for (place, number) in numbers.iter().enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            number.fmt(f)?;
        }
        Ok(())
    }
}

/// Only ever the last part of a key: it reads to the end.
impl Key for Path {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|number| number.write(out));
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey> {
        let mut path = Vec::new();
        while !bytes.is_empty() {
            path.push(u32::read(bytes)?);
        }
        Ok(Self(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_order_as_the_steps_do_with_undo_last() {
        let first = Path::default().child(1);
        let order = [
            Path::default(),
            first.clone(),
            first.child(2),
            Path::default().child(2),
            first.undo(),
            Path::last(),
        ];
        assert!(order.is_sorted());
        let bytes = |path: &Path| {
            let mut bytes = Vec::new();
            path.write(&mut bytes);
            bytes
        };
        assert!(order.iter().map(bytes).is_sorted());
        for path in order {
            assert_eq!(Path::read(&mut bytes(&path).as_slice()).as_ref(), Ok(&path));
        }
        assert_eq!(first.child(2).to_string(), "1.2");
        assert_eq!(first.child(2).undo().to_string(), "undo 1.2");
    }
}
