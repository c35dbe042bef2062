//! `dead`: the dead letters of subscribers.

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, DeadLetter, LetterId, Operation, OperationError};

use super::{
    BODY_SHOWN, Chosen, CommandError, Common, Of, ask_all, ask_each, ask_having, chosen, done_text,
    pairs, printed,
};
use crate::{
    App,
    config::Loaded,
    operate::{OperateError, Operators},
    table::{aligned, heading, shortened},
};

#[derive(Debug, Args)]
#[command(
    after_help = "A letter is named by publisher and number, as `dead list` prints it.\n\
    Examples:\n  \
    dead list                      the letters of all modules\n  \
    dead show cart checkout/17     the event, and why it cannot be handled\n  \
    dead retry cart checkout/17    hands it to its handler again\n  \
    dead retry cart --all          all of them, the oldest first\n  \
    dead drop cart checkout/17     it is never handled; the audit counts it as dropped"
)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(super) command: DeadCommand,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// Lists events whose handler failed too often
    List {
        /// The module that could not handle them; all modules without it
        module: Option<String>,
    },
    /// Shows one of them
    Show {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER")]
        letter: LetterId,
    },
    /// Hands one of them, or all, to the handler again
    Retry {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER", required_unless_present = "all")]
        letter: Option<LetterId>,
        /// All letters of the module
        #[arg(long, conflicts_with = "letter")]
        all: bool,
    },
    /// Drops one of them for good
    Drop {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER")]
        letter: LetterId,
    },
}

fn letter(text: &str) -> Result<LetterId, String> {
    let parsed = text.rsplit_once('/').and_then(|(publisher, number)| {
        Some(LetterId {
            publisher: publisher.to_string(),
            number: number.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "expected PUBLISHER/NUMBER, such as checkout/17".to_string())
}

pub(super) async fn obey(
    app: &App,
    loaded: Loaded,
    command: &DeadCommand,
    common: &Common,
) -> Result<String, CommandError> {
    let json = common.json;
    let (module, letter, operation, what) = match command {
        DeadCommand::List { module } => {
            let operation = Operation::ListDead;
            let of = module.as_ref().map(|module| chosen(app, module, common));
            let answers = ask_each(app, loaded, of.transpose()?.as_ref(), &operation).await?;
            return Ok(letters_text(answers, json));
        }
        DeadCommand::Retry {
            module,
            letter: None,
            ..
        } => return retry_all(app, loaded, &chosen(app, module, common)?, json).await,
        DeadCommand::Show { module, letter } => {
            let question = Operation::ShowDead(letter.clone());
            let of = chosen(app, module, common)?;
            let (module, answered) =
                ask_having(app, loaded, &of, &question, question.clone()).await?;
            let Answered::DeadLetters(letters) = answered else {
                unreachable!("letters are answered by letters");
            };
            return Ok(letters
                .first()
                .map(|letter| printed(json, letter, |letter| letter_text(&module, letter)))
                .unwrap_or_default());
        }
        DeadCommand::Retry {
            module,
            letter: Some(letter),
            ..
        } => (
            module,
            letter,
            Operation::RetryDead(letter.clone()),
            "handled",
        ),
        DeadCommand::Drop { module, letter } => {
            let operation = Operation::DropDead(letter.clone());
            (module, letter, operation, "dropped")
        }
    };
    let of = chosen(app, module, common)?;
    let question = Operation::ShowDead(letter.clone());
    let (module, answered) = ask_having(app, loaded, &of, &question, operation).await?;
    Ok(done_text(
        &answered,
        json,
        &format!("letter of {module} {what}"),
    ))
}

async fn retry_all(
    app: &App,
    loaded: Loaded,
    of: &Chosen,
    json: bool,
) -> Result<String, CommandError> {
    let module = of.module;
    let operators = Operators::find(app, loaded, &[module])?;
    let mut handled = Vec::new();
    let mut failed = Vec::new();
    let listed = ask_all(&operators, &[module], of.partition, &Operation::ListDead).await;
    for (name, answer) in listed.iter().flatten() {
        let Answered::DeadLetters(letters) = answer else {
            unreachable!("letters are answered by letters");
        };
        for DeadLetter {
            publisher, number, ..
        } in letters
        {
            let id = LetterId {
                publisher: publisher.clone(),
                number: *number,
            };
            match operators.ask(name, Operation::RetryDead(id)).await {
                Ok(_) => handled.push(format!("{publisher}/{number}")),
                Err(error) => failed.push(format!("{publisher}/{number}: {error}")),
            }
        }
    }
    operators.end().await;
    listed?;
    if failed.is_empty() {
        return Ok(printed(json, &handled, |handled| {
            format!("{} letters of {module} handled\n", handled.len())
        }));
    }
    let reason = format!(
        "{} letters of {module} handled, {} not:\n  {}",
        handled.len(),
        failed.len(),
        failed.join("\n  ")
    );
    Err(OperateError::from(OperationError::Failed(reason)).into())
}

fn letters_text(answers: Vec<(String, Answered)>, json: bool) -> String {
    let mut letters = Vec::new();
    for (module, answer) in answers {
        let Answered::DeadLetters(of_module) = answer else {
            unreachable!("letters are answered by letters");
        };
        letters.extend(of_module.into_iter().map(|line| Of {
            module: module.clone(),
            line,
        }));
    }
    printed(json, &letters, |letters| {
        if letters.is_empty() {
            return "no dead letters\n".to_string();
        }
        let columns = ["MODULE", "LETTER", "EVENT", "LAST FAILED", "TRIES", "ERROR"];
        let mut rows = vec![heading(&columns)];
        rows.extend(letters.iter().map(|Of { module, line }| {
            vec![
                module.to_string(),
                format!("{}/{}", line.publisher, line.number),
                line.name.clone(),
                line.last_failed.to_string(),
                line.attempts.to_string(),
                shortened(&line.error, BODY_SHOWN),
            ]
        }));
        aligned(&rows, &[4])
    })
}

fn letter_text(module: &str, letter: &DeadLetter) -> String {
    let rows = [
        ("letter", format!("{}/{}", letter.publisher, letter.number)),
        ("module", module.to_string()),
        ("event", letter.name.clone()),
        ("published", letter.at.to_string()),
        ("caused by", letter.cause.clone()),
        ("first failed", letter.first_failed.to_string()),
        ("last failed", letter.last_failed.to_string()),
        ("tries", letter.attempts.to_string()),
        ("error", letter.error.clone()),
        ("body", letter.body.clone()),
    ];
    pairs(&rows)
}
