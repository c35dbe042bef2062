//! What an operator may set, and what is wrong with it.

use std::{fmt, path::PathBuf};

use lettre::{AsyncSmtpTransport, Tokio1Executor, message::Mailbox, transport::smtp::extension};
use modulith_kernel::{Setup, SetupError};
use serde::Deserialize;

use crate::delivery::{ANSWER_WAIT, Delivery};

/// Who letters in a folder are from. `.example` is nobody's domain (RFC 2606).
const FROM: &str = "The Boutique <orders@boutique.example>";

/// What `[module.email]` may set.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmailSettings {
    /// The mail server to deliver to: `smtps://USER:PASSWORD@HOST:PORT`, or `smtp://HOST:PORT`,
    /// with `?tls=required` to encrypt by STARTTLS. A user and password travel encrypted only.
    /// Without it, letters go into a folder. Never printed.
    pub smtp: Option<String>,
    /// Whom letters are from, such as `The Boutique <orders@boutique.example>`. Required for a
    /// mail server.
    pub from: Option<String>,
    /// The folder letters go into, relative to the one the process was started in; by default
    /// `letters` in the module's own. Not together with `smtp`.
    pub letters: Option<PathBuf>,
}

impl fmt::Debug for EmailSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailSettings")
            .field("smtp", &self.smtp.as_deref().map(without_credentials))
            .field("from", &self.from)
            .field("letters", &self.letters)
            .finish()
    }
}

impl EmailSettings {
    /// Whom letters are from.
    pub(crate) fn sender(&self) -> Result<Mailbox, SetupError> {
        let from = match (&self.from, &self.smtp) {
            (Some(from), _) => from,
            (None, None) => FROM,
            (None, Some(_)) => {
                return Err(format!(
                    "from is not set, expected the shop's own address beside smtp, such as {FROM:?}"
                )
                .into());
            }
        };
        let wrong = || format!("from = {from:?} is no sender, expected one such as {FROM:?}");
        if from.contains(char::is_control) {
            return Err(wrong().into());
        }
        Ok(from.parse().map_err(|_| wrong())?)
    }

    /// How letters are delivered.
    pub(crate) fn delivery(&self, from: &Mailbox, setup: &Setup) -> Result<Delivery, SetupError> {
        match (&self.smtp, &self.letters) {
            (Some(_), Some(_)) => Err("smtp and letters are both set, expected one of them".into()),
            (Some(url), None) => server(url, from),
            (None, Some(folder)) if folder.exists() && !folder.is_dir() => {
                Err(format!("letters = {folder:?} is a file, expected a folder").into())
            }
            (None, folder) => {
                let folder = folder
                    .clone()
                    .unwrap_or_else(|| setup.folder.join("letters"));
                Ok(Delivery::Folder(folder))
            }
        }
    }
}

fn server(url: &str, from: &Mailbox) -> Result<Delivery, SetupError> {
    let found = without_credentials(url);
    check(url).map_err(|expected| format!("smtp = {found:?}, expected {expected}"))?;
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| {
        // Its own words say which part is wrong, and hold none of the credentials.
        let cause = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("smtp = {found:?} ({cause}), expected smtp://HOST:PORT")
    })?;
    let hello = extension::ClientId::Domain(from.email.domain().to_string());
    Ok(Delivery::Server(
        builder.hello_name(hello).timeout(Some(ANSWER_WAIT)).build(),
    ))
}

/// Checks what lettre would let pass: passwords in the clear, and parts it has other uses for.
fn check(url: &str) -> Result<(), &'static str> {
    let encrypted = url.starts_with("smtps://") || url.ends_with("?tls=required");
    let Some(rest) = url
        .strip_prefix("smtp://")
        .or_else(|| url.strip_prefix("smtps://"))
    else {
        return Err("smtp://HOST:PORT or smtps://HOST:PORT");
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !matches!(rest, "" | "/" | "?tls=required" | "/?tls=required") {
        return Err("nothing but ?tls=required after the port (write a / in a password as %2F)");
    }
    if authority.contains('@') && !encrypted {
        return Err("smtps:// or ?tls=required to send a user and password");
    }
    Ok(())
}

/// The URL with everything hidden that may be part of a user or password.
fn without_credentials(url: &str) -> String {
    let Some((secret, rest)) = url.rsplit_once('@') else {
        return url.to_string();
    };
    let scheme = ["smtp://", "smtps://"]
        .into_iter()
        .find(|scheme| secret.starts_with(scheme));
    format!("{}…@{rest}", scheme.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smtp(url: &str) -> EmailSettings {
        let from = Some("Shop <shop@example.com>".to_string());
        EmailSettings {
            smtp: Some(url.to_string()),
            from,
            letters: None,
        }
    }

    fn delivery(settings: &EmailSettings) -> Result<Delivery, String> {
        let setup = Setup {
            folder: PathBuf::from("data/email"),
        };
        let sender = settings.sender().map_err(|error| error.to_string())?;
        settings
            .delivery(&sender, &setup)
            .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_refused(settings: &EmailSettings, expected: &str) {
        let error = delivery(settings).err().unwrap();
        assert_eq!(error, expected);
    }

    #[test]
    fn without_settings_letters_go_into_the_modules_folder() {
        let Ok(Delivery::Folder(folder)) = delivery(&EmailSettings::default()) else {
            panic!("not a folder");
        };
        assert_eq!(folder, PathBuf::from("data/email/letters"));
    }

    #[test]
    fn a_mail_server_is_reached_in_the_clear_or_encrypted() {
        for url in [
            "smtp://127.0.0.1:2525",
            "smtp://mail.example.com",
            "smtp://mail.example.com/",
            "smtp://mail.example.com:587?tls=required",
            "smtp://user:password@mail.example.com?tls=required",
            "smtps://user:pass%2Fword@mail.example.com:465",
        ] {
            assert!(
                matches!(delivery(&smtp(url)), Ok(Delivery::Server(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn an_address_that_is_no_mail_servers_is_refused() {
        check_refused(
            &smtp("http://mail.example.com"),
            r#"smtp = "http://mail.example.com", expected smtp://HOST:PORT or smtps://HOST:PORT"#,
        );
        check_refused(
            &smtp("smtp://mail.example.com:port"),
            r#"smtp = "smtp://mail.example.com:port" (invalid port number), expected smtp://HOST:PORT"#,
        );
        check_refused(
            &smtp("smtp://mail.example.com/?tls=opportunistic"),
            r#"smtp = "smtp://mail.example.com/?tls=opportunistic", expected nothing but ?tls=required after the port (write a / in a password as %2F)"#,
        );
    }

    #[test]
    fn a_password_is_neither_sent_in_the_clear_nor_printed() {
        check_refused(
            &smtp("smtp://user:secret@mail.example.com"),
            r#"smtp = "smtp://…@mail.example.com", expected smtps:// or ?tls=required to send a user and password"#,
        );
        for url in [
            "smtp://user:secret@mail.example.com?tls=required",
            "smtps://user:secret@mail.example.com:port",
            "smtps://user:12/secret@mail.example.com",
            "smtps://user:p@secret@mail.example.com:port",
            "user:secret@mail.example.com",
            "SMTP://user:secret@mail.example.com",
        ] {
            let debug = format!("{:?}", smtp(url));
            assert!(
                !debug.contains("secret") && !debug.contains("user"),
                "{debug}"
            );
            let error = delivery(&smtp(url)).err().unwrap_or_default();
            assert!(
                !error.contains("secret") && !error.contains("user:"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_mail_server_needs_a_sender() {
        let settings = EmailSettings {
            from: None,
            ..smtp("smtp://127.0.0.1:2525")
        };
        check_refused(
            &settings,
            r#"from is not set, expected the shop's own address beside smtp, such as "The Boutique <orders@boutique.example>""#,
        );
    }

    #[test]
    fn a_sender_that_is_none_is_refused() {
        for from in [
            "",
            "nobody",
            "a@b@c",
            "Shop\r\nBcc: x@example.com <shop@example.com>",
        ] {
            let settings = EmailSettings {
                from: Some(from.to_string()),
                ..EmailSettings::default()
            };
            let error = delivery(&settings).err().unwrap();
            assert!(
                error.starts_with(&format!("from = {from:?} is no sender, ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_folder_and_a_server_at_once_are_refused_and_so_is_a_file() {
        let letters = Some(PathBuf::from("letters"));
        check_refused(
            &EmailSettings {
                letters,
                ..smtp("smtp://127.0.0.1:2525")
            },
            "smtp and letters are both set, expected one of them",
        );
        let letters = Some(PathBuf::from("Cargo.toml"));
        check_refused(
            &EmailSettings {
                letters,
                ..EmailSettings::default()
            },
            r#"letters = "Cargo.toml" is a file, expected a folder"#,
        );
    }
}
