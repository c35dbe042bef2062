//! PostgreSQL as a contender: its defaults, a connection per caller, over a Unix socket.
//!
//! Only `max_connections` differs from the defaults, because 256 callers need it. A commit is
//! synced as by default (`fsync`, `synchronous_commit` on).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use fastrand::Rng;
use rustix::process::Signal;
use tokio_postgres::{Client, Config, NoTls, Statement};

use super::ledger::{NOTE_BYTES, ROW_TEXT_BYTES, ROWS};
use crate::error::Error;
use crate::load::Contender;
use crate::server::{Server, User, find, first_line, tail};
use crate::usage::Processes;

/// How many connections there may be besides the callers'.
const SPARE_CONNECTIONS: u16 = 16;

/// A filled database, as long as its server runs.
#[derive(Clone)]
pub(crate) struct Postgres {
    socket_folder: Arc<PathBuf>,
    processes: Processes,
}

/// The programs of an installation.
pub(crate) struct Programs {
    postgres: PathBuf,
    initdb: PathBuf,
    pub(crate) version: String,
}

impl Programs {
    /// Looks where distributions put them.
    pub(crate) fn find() -> Option<Self> {
        let named = first_line("pg_config", "--bindir").map(PathBuf::from);
        let mut installed: Vec<_> = fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
            .map(Iterator::collect)
            .unwrap_or_default();
        installed.sort();
        // The newest first.
        installed.reverse();
        let folders: Vec<_> = named.into_iter().chain(installed).collect();
        let postgres = find("postgres", folders.iter().cloned())?;
        Some(Self {
            version: first_line(&postgres, "--version")?,
            initdb: find("initdb", folders)?,
            postgres,
        })
    }
}

impl Postgres {
    /// Makes a database below a folder, starts its server and fills it.
    pub(crate) async fn start(
        programs: &Programs,
        folder: &Path,
        callers_max: u16,
    ) -> Result<(Self, Server), Error> {
        let user = User::unless_root(&["postgres", "nobody"]);
        User::folder(user, folder)?;
        let (data, log) = (folder.join("data"), folder.join("log"));
        init(programs, user, folder, &data)?;
        let mut command = User::command(user, &programs.postgres);
        let connections = callers_max.saturating_add(SPARE_CONNECTIONS);
        command
            .current_dir(folder)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder)
            .args(["-c", "listen_addresses="])
            .args(["-c", &format!("max_connections={connections}")]);
        // Fast shutdown: open connections are closed.
        let mut server = Server::start("PostgreSQL", &mut command, log, Signal::INT)?;
        let client = server.answer(async || connect(folder).await).await?;
        fill(&client).await?;
        let postgres = Self {
            socket_folder: Arc::new(folder.to_path_buf()),
            processes: Processes::with_server(server.pid()),
        };
        Ok((postgres, server))
    }

    async fn connect(&self) -> Result<Client, Error> {
        connect(&self.socket_folder).await
    }
}

fn init(programs: &Programs, user: Option<User>, folder: &Path, data: &Path) -> Result<(), Error> {
    let log = folder.join("initdb.log");
    let run = || {
        let out = fs::File::create(&log)?;
        User::command(user, &programs.initdb)
            .current_dir(folder)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "-D"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .status()
    };
    let status = run().map_err(Error::io("run initdb"))?;
    if !status.success() {
        let log = tail(&log);
        let server = "initdb of PostgreSQL";
        return Err(Error::NotStarted { server, log });
    }
    Ok(())
}

async fn connect(socket_folder: &Path) -> Result<Client, Error> {
    let (client, connection) = Config::new()
        .host_path(socket_folder)
        .user("postgres")
        .dbname("postgres")
        .connect(NoTls)
        .await?;
    // Ends with its client; what goes wrong, the client is told.
    tokio::spawn(connection);
    Ok(client)
}

async fn fill(client: &Client) -> Result<(), Error> {
    let last = ROWS - 1;
    let sql = format!(
        "CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL, text text NOT NULL);
         INSERT INTO accounts
             SELECT id, 0, repeat('x', {ROW_TEXT_BYTES}) FROM generate_series(0, {last}) id;
         CREATE TABLE notes (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             text text NOT NULL
         );"
    );
    client.batch_execute(&sql).await?;
    // Neither may be in a transaction, which several statements at once are.
    client.batch_execute("VACUUM ANALYZE accounts").await?;
    Ok(client.batch_execute("CHECKPOINT").await?)
}

/// One caller's connection.
pub(crate) struct Connection {
    client: Client,
    statement: Statement,
    random: Rng,
}

impl Connection {
    async fn new(postgres: &Postgres, statement: &str, number: u16) -> Result<Self, Error> {
        let client = postgres.connect().await?;
        let statement = client.prepare(statement).await?;
        let random = Rng::with_seed(number.into());
        Ok(Self {
            client,
            statement,
            random,
        })
    }
}

/// Adds to a row at random.
#[derive(Clone)]
pub(crate) struct Updates(pub(crate) Postgres);

impl Contender for Updates {
    type Caller = Connection;

    async fn caller(&self, number: u16) -> Result<Connection, Error> {
        let statement = "UPDATE accounts SET balance = balance + $2 WHERE id = $1";
        Connection::new(&self.0, statement, number).await
    }

    async fn once(connection: &mut Connection) -> Result<(), Error> {
        let account = connection.random.i64(0..ROWS.cast_signed());
        let Connection {
            client, statement, ..
        } = connection;
        match client.execute(&*statement, &[&account, &1_i64]).await? {
            1 => Ok(()),
            _ => Err(Error::RowLost("PostgreSQL")),
        }
    }

    fn processes(&self) -> Processes {
        self.0.processes.clone()
    }
}

/// Appends a row to a table that has only its number as an index.
#[derive(Clone)]
pub(crate) struct Inserts(pub(crate) Postgres);

impl Contender for Inserts {
    type Caller = Connection;

    async fn caller(&self, number: u16) -> Result<Connection, Error> {
        Connection::new(&self.0, "INSERT INTO notes (text) VALUES ($1)", number).await
    }

    async fn once(
        Connection {
            client, statement, ..
        }: &mut Connection,
    ) -> Result<(), Error> {
        let text = "x".repeat(NOTE_BYTES);
        client.execute(&*statement, &[&text]).await?;
        Ok(())
    }

    fn processes(&self) -> Processes {
        self.0.processes.clone()
    }
}
