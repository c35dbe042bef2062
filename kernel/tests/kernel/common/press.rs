//! A press that prints sheets one by one, and a binder that has them printed.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use futures_util::{
    Stream, StreamExt,
    stream::{empty, iter, pending, unfold},
};
use modulith_kernel::{
    Answer, AnswerStream, Context, Declaration, Module, Never, Outcome, Query, Refusal, Setup,
    SetupError, Stop,
};
use serde::{Deserialize, Serialize};

/// Prints sheets from 0 up to a number, then does what it is told.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "press", stream = Sheet, refusal = PrintRefusal)]
pub(crate) struct Print {
    pub(crate) sheets: u32,
    pub(crate) then: Then,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, modulith_kernel::Schema)]
pub(crate) enum Then {
    End,
    Refuse,
    Panic,
    PanicAtOnce,
    Hang,
    /// Refuses, and then goes on printing, which nobody must see.
    RefuseAndGoOn,
    /// A sheet that is too large to be sent, and one more.
    Poster,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, modulith_kernel::Schema)]
pub(crate) struct Sheet {
    pub(crate) number: u32,
    pub(crate) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub(crate) enum PrintRefusal {
    #[refusal(precondition, "there is no paper left")]
    OutOfPaper,
}

/// Also in the press's contract, but the binder does not declare that it asks it.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "press", stream = u32)]
pub(crate) struct ListInks {}

/// Has sheets printed; how many came, and their numbers' sum.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "binder", reply = (u32, u64), refusal = PrintRefusal)]
pub(crate) struct Bind {
    pub(crate) print: Print,
}

/// Passes on what the press prints, twice each.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "binder", stream = u32, refusal = PrintRefusal)]
pub(crate) struct Number {
    pub(crate) print: Print,
}

/// Asks what it does not declare.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "binder", reply = Vec<u32>)]
pub(crate) struct AskForInks {}

/// How many sheets were made, and how many makers of them there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct PressSettings {
    pub(crate) made: Arc<AtomicU32>,
    pub(crate) printing: Arc<AtomicU32>,
}

pub(crate) struct Press(PressSettings);

impl Module for Press {
    const NAME: &'static str = "press";
    type Settings = PressSettings;

    fn new(settings: &PressSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.streams::<Print>().streams::<ListInks>();
    }
}

/// Counted for as long as it lives.
struct Printing(Arc<AtomicU32>);

impl Drop for Printing {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn sheet(number: u32) -> Sheet {
    let text = format!("sheet {number}");
    Sheet { number, text }
}

impl AnswerStream<Print> for Press {
    fn stream(
        &self,
        query: Print,
        _: &Context,
    ) -> impl Stream<Item = Result<Sheet, Stop<PrintRefusal>>> + Send + 'static {
        let Print { sheets, then } = query;
        assert!(!matches!(then, Then::PanicAtOnce), "as told");
        self.0.printing.fetch_add(1, SeqCst);
        let printing = Printing(self.0.printing.clone());
        let made = self.0.made.clone();
        let sheets = iter((0..sheets).map(move |number| {
            let _printing = &printing;
            made.fetch_add(1, SeqCst);
            Ok(sheet(number))
        }));
        let out_of_paper = || iter([Err(Stop::Refused(PrintRefusal::OutOfPaper))]);
        sheets.chain(match then {
            Then::End => empty().boxed(),
            Then::Refuse => out_of_paper().boxed(),
            Then::RefuseAndGoOn => out_of_paper().chain(iter([Ok(sheet(9))])).boxed(),
            Then::Panic | Then::PanicAtOnce => iter([()]).map(|()| panic!("as told")).boxed(),
            Then::Hang => pending().boxed(),
            Then::Poster => iter([Ok(poster()), Ok(sheet(9))]).boxed(),
        })
    }
}

fn poster() -> Sheet {
    Sheet {
        number: 0,
        text: "x".repeat(modulith_kernel::codec::ENCODED_BYTES_MAX),
    }
}

impl AnswerStream<ListInks> for Press {
    fn stream(
        &self,
        _: ListInks,
        _: &Context,
    ) -> impl Stream<Item = Result<u32, Stop<Never>>> + Send + 'static {
        empty()
    }
}

pub(crate) struct Binder;

impl Module for Binder {
    const NAME: &'static str = "binder";
    type Settings = ();

    fn new((): &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<Bind>()
            .streams::<Number>()
            .answers::<AskForInks>()
            .asks_stream::<Print>();
    }
}

impl Answer<Bind> for Binder {
    async fn answer(&self, query: Bind, context: &Context) -> Outcome<Bind> {
        let mut sheets = context.stream(query.print);
        let (mut count, mut sum) = (0, 0);
        while let Some(sheet) = sheets.next().await {
            count += 1;
            sum += u64::from(sheet?.number);
        }
        Ok((count, sum))
    }
}

impl AnswerStream<Number> for Binder {
    fn stream(
        &self,
        query: Number,
        context: &Context,
    ) -> impl Stream<Item = Result<u32, Stop<PrintRefusal>>> + Send + 'static {
        unfold(context.stream(query.print), |mut sheets| async {
            let next = sheets.next().await?;
            Some((next.map(|sheet| sheet.number * 2), sheets))
        })
    }
}

impl Answer<AskForInks> for Binder {
    async fn answer(&self, _: AskForInks, context: &Context) -> Outcome<AskForInks> {
        let mut inks = Vec::new();
        let mut asked = context.stream(ListInks {});
        while let Some(ink) = asked.next().await {
            inks.push(ink.map_err(Stop::into_fault)?);
        }
        Ok(inks)
    }
}
