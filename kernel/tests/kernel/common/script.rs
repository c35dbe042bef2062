//! An actor in the other sense: conducts whatever script a test hands it, and lets the test change
//! the script while it is away.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use futures_util::{FutureExt, future::BoxFuture};
use modulith_kernel::{
    Command, Conduct, Declaration, Flow, Module, Outcome, Secret, Setup, SetupError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::ledger::{GetBalance, Post, PostRefusal, Posted};

/// Plays the script.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "script", reply = String, refusal = PostRefusal)]
pub(crate) struct Play {
    pub(crate) part: String,
    pub(crate) secret: Secret<String>,
}

/// Plays a part.
pub(crate) fn play(part: &str) -> Play {
    Play {
        part: part.to_string(),
        secret: Secret::new("hush".to_string()),
    }
}

pub(crate) type Scene = for<'a> fn(Play, &'a Flow, Arc<Stage>) -> BoxFuture<'a, Outcome<Play>>;

/// What a scene and its test share.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// How often the script was begun.
    pub(crate) begun: AtomicU32,
    /// How often what a test counts has happened.
    pub(crate) count: AtomicU32,
    /// Told by a scene when it has come to a point.
    pub(crate) there: Notify,
    /// Waited for by a scene.
    pub(crate) go_on: Notify,
}

impl Stage {
    /// Forgets what an earlier scenario left.
    pub(crate) fn clear(&self) {
        self.count.store(0, SeqCst);
        for notify in [&self.there, &self.go_on] {
            _ = notify.notified().now_or_never();
        }
    }

    pub(crate) fn add_one(&self) -> u32 {
        self.count.fetch_add(1, SeqCst) + 1
    }
}

/// Which script is played.
#[derive(Clone)]
pub(crate) struct ScriptSettings {
    scene: Arc<Mutex<Scene>>,
    pub(crate) stage: Arc<Stage>,
}

impl ScriptSettings {
    pub(crate) fn of(scene: Scene) -> Self {
        Self {
            scene: Arc::new(Mutex::new(scene)),
            stage: Arc::default(),
        }
    }

    /// Has another scene played from now on, as a new version of the code would.
    pub(crate) fn rewrite(&self, scene: Scene) {
        *self.scene.lock().unwrap_or_else(PoisonError::into_inner) = scene;
    }
}

pub(crate) struct Script<const VERSION: u32 = 1>(ScriptSettings);

impl<const VERSION: u32> Module for Script<VERSION> {
    const NAME: &'static str = "script";
    type Settings = ScriptSettings;

    fn new(settings: &ScriptSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .conducts::<Play>()
            .awaits::<Posted>()
            .asks::<Post>()
            .asks::<GetBalance>();
    }
}

impl<const VERSION: u32> Conduct<Play> for Script<VERSION> {
    const VERSION: u32 = VERSION;
    const OLDEST: u32 = VERSION;

    async fn conduct(&self, play: Play, flow: &Flow) -> Outcome<Play> {
        self.0.stage.begun.fetch_add(1, SeqCst);
        let scene = *self.0.scene.lock().unwrap_or_else(PoisonError::into_inner);
        scene(play, flow, self.0.stage.clone()).await
    }
}
