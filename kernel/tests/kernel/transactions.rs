//! Transactions: a command reads what it wrote itself, what the commands before it in the batch
//! wrote, and what is stored, as one table.

use std::collections::BTreeMap;

use modulith_kernel::Stop;
use modulith_testkit::World;

use crate::common::{
    begin,
    pad::{Pad, Read, Stroke, Window, Write, WriteRefusal},
};

const ALL: Window = Window {
    from: 0,
    to: u32::MAX,
    limit: u32::MAX,
};

fn write(strokes: Vec<Stroke>) -> Write {
    Write {
        strokes,
        read: ALL,
        erase: false,
    }
}

#[test]
fn own_writes_are_read_over_stored_ones() {
    World::of::<Pad>(()).run(async |world: &World| {
        let first = vec![Stroke::Put(1, 10), Stroke::Put(2, 20), Stroke::Put(3, 30)];
        world.ask(write(first)).await.unwrap();
        let second = vec![Stroke::Put(4, 40), Stroke::Remove(1), Stroke::Put(2, 21)];
        assert_eq!(
            world.ask(write(second)).await,
            Ok(vec![(2, 21), (3, 30), (4, 40)])
        );
    });
}

#[test]
fn ranges_are_cut_where_they_are_told_to_be() {
    World::of::<Pad>(()).run(async |world: &World| {
        let stored = (0..10).map(|key| Stroke::Put(key, key)).collect();
        world.ask(write(stored)).await.unwrap();
        let check = async |from, to, limit, expected: &[u32]| {
            let read = Window { from, to, limit };
            let rows: Vec<_> = expected.iter().map(|key| (*key, *key)).collect();
            assert_eq!(
                world.ask(Read { read: read.clone() }).await,
                Ok(rows.clone())
            );
            let strokes = vec![];
            let erase = false;
            let written = world
                .ask(Write {
                    strokes,
                    read,
                    erase,
                })
                .await;
            assert_eq!(written, Ok(rows));
        };
        check(3, 6, 9, &[3, 4, 5]).await;
        check(3, 6, 2, &[3, 4]).await;
        check(3, 6, 0, &[]).await;
        check(6, 6, 9, &[]).await;
        check(7, 6, 9, &[]).await;
        check(8, 99, 9, &[8, 9]).await;
    });
}

/// Against a map that does the same: random strokes, some erased, in batches of random sizes.
#[test]
fn batches_read_as_if_each_command_had_its_own_commit() {
    let seed = 0x5eed_u64;
    println!("seed {seed}");
    World::of::<Pad>(()).run(async |world: &World| {
        let mut random = Random(seed);
        let mut model = BTreeMap::new();
        let port = world.port();
        for _ in 0..30 {
            let commands: Vec<_> = (0..1 + random.below(8)).map(|_| random.write()).collect();
            let expected: Vec<_> = commands.iter().map(|one| apply(&mut model, one)).collect();
            // All are in the mailbox before the actor, on its own thread, is likely to look.
            let asked: Vec<_> = commands.into_iter().map(|one| begin(&port, one)).collect();
            for (asked, expected) in asked.into_iter().zip(expected) {
                assert_eq!(asked.await, expected);
            }
            let rows = world.ask(Read { read: ALL }).await.unwrap();
            assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
        }
    });
}

/// What the pad must do.
fn apply(model: &mut BTreeMap<u32, u32>, command: &Write) -> modulith_kernel::Outcome<Write> {
    let mut after = model.clone();
    for stroke in &command.strokes {
        match *stroke {
            Stroke::Put(key, value) => _ = after.insert(key, value),
            Stroke::Remove(key) => _ = after.remove(&key),
        }
    }
    let Window { from, to, limit } = command.read;
    let inside = after.iter().filter(|(key, _)| (from..to).contains(*key));
    let rows = inside.take(limit as usize).map(|(k, v)| (*k, *v)).collect();
    if command.erase {
        return Err(Stop::Refused(WriteRefusal::Erased { rows }));
    }
    *model = after;
    Ok(rows)
}

/// Knuth's MMIX generator; good enough to choose strokes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }

    fn write(&mut self) -> Write {
        let strokes = (0..self.below(6)).map(|_| match self.below(3) {
            0 => Stroke::Remove(self.below(20)),
            _ => Stroke::Put(self.below(20), self.below(1000)),
        });
        Write {
            strokes: strokes.collect(),
            read: Window {
                from: self.below(20),
                to: self.below(25),
                limit: self.below(25),
            },
            erase: self.below(4) == 0,
        }
    }
}
