//! What survives a restart: two JSON files, each replaced as a whole.
//!
//! `alerts/rules.json` holds the alerts of every rule and when they were last evaluated;
//! `alerts/notifications.json` holds what receivers were told and have yet to be told. A file
//! that cannot be read is set aside under another name with a loud message, so that what is saved
//! later does not replace it. Only where that is impossible, too, does it stop a start.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Env;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::Labels;
use super::state::Alert;

/// Format of both files.
const VERSION: u32 = 1;
/// How many unreadable files are kept.
const ASIDE_MAX: u32 = 100;

/// `rules.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SavedRules {
    /// Rules with alerts.
    pub rules: Vec<SavedRule>,
}

/// The alerts of one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRule {
    /// Key of its group.
    pub group: String,
    /// Name.
    pub name: String,
    /// Expression.
    pub expr: String,
    /// Labels that it adds, those of its group among them, as the file has them. Files of before
    /// this was written have none.
    #[serde(default)]
    pub labels: Option<Labels>,
    /// How many rules before it in the group have the same name, expression and labels.
    #[serde(default)]
    pub number: usize,
    /// When it was last evaluated.
    pub evaluated_at: u64,
    /// Its alerts, resolved ones included.
    pub alerts: Vec<Alert>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    data: T,
}

/// A JSON file that is replaced as a whole.
#[derive(Debug, Clone)]
pub struct StateFile {
    env: Env,
    path: PathBuf,
    saving: Arc<Mutex<()>>,
}

impl StateFile {
    /// A file of this name in the folder, which is created.
    pub fn new(env: Env, dir: &Path, name: &str) -> std::io::Result<Self> {
        env.files.create_dir_all(dir)?;
        Ok(Self {
            env,
            path: dir.join(name),
            saving: Arc::default(),
        })
    }

    /// What the file holds; the default where there is none, or where it cannot be read and was
    /// set aside. The error says why neither was possible.
    pub fn load<T: DeserializeOwned + Default>(&self) -> std::io::Result<T> {
        let reason = match self.env.files.read(&self.path) {
            Ok(bytes) => match serde_json::from_slice::<Versioned<T>>(&bytes) {
                Ok(saved) if saved.version == VERSION => return Ok(saved.data),
                Ok(saved) => format!("format version {} is not known", saved.version),
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
            Err(error) => error.to_string(),
        };
        let path = self.path.display();
        match self.set_aside() {
            Ok(aside) => {
                let aside = aside.display();
                tracing::error!(
                    %path, reason, %aside,
                    "alert state cannot be read; it is set aside and starts anew"
                );
                Ok(T::default())
            }
            Err(error) => Err(std::io::Error::new(
                error.kind(),
                format!("{path} cannot be read ({reason}) and cannot be set aside: {error}"),
            )),
        }
    }

    /// Gives the file a name that none has yet.
    fn set_aside(&self) -> std::io::Result<PathBuf> {
        for number in 1..=ASIDE_MAX {
            let aside = self.path.with_extension(match number {
                1 => "json.unreadable".to_owned(),
                _ => format!("json.unreadable-{number}"),
            });
            if self.env.files.stat(&aside)?.is_none() {
                self.env.files.rename(&self.path, &aside)?;
                return Ok(aside);
            }
        }
        let reason = format!("{ASIDE_MAX} files were set aside already; remove them");
        Err(std::io::Error::new(ErrorKind::AlreadyExists, reason))
    }

    /// Replaces the file durably, on a thread that may block.
    /// `data` is asked once the saves before are through; one that nobody waits for any more
    /// is still before the next one.
    pub async fn save<T: Serialize + Send + 'static>(
        &self,
        data: impl FnOnce() -> T,
    ) -> std::io::Result<()> {
        let turn = Arc::clone(&self.saving).lock_owned().await;
        let (file, data) = (self.clone(), data());
        let write = move || {
            let _turn = turn;
            file.save_here(&data)
        };
        tokio::task::spawn_blocking(write)
            .await
            .map_err(std::io::Error::other)?
    }

    /// Replaces the file durably, on this thread.
    pub fn save_here<T: Serialize>(&self, data: &T) -> std::io::Result<()> {
        self.env.files.write_atomic(&self.path, &encode(data)?)
    }
}

fn encode<T: Serialize>(data: &T) -> std::io::Result<Vec<u8>> {
    let version = VERSION;
    Ok(serde_json::to_vec(&Versioned { version, data })?)
}
