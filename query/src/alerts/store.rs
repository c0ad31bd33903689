//! What survives a restart: two JSON files, each replaced as a whole.
//!
//! `alerts/rules.json` holds the alerts of every rule and when they were last evaluated;
//! `alerts/notifications.json` holds what receivers were told and have yet to be told. A file
//! that cannot be read is set aside with a loud message; it never stops a start.

use std::path::{Path, PathBuf};

use env::Env;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::state::Alert;

/// Format of both files.
const VERSION: u32 = 1;

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
    /// Expression: a rule of the same name with another one is another rule.
    pub expr: String,
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
}

impl StateFile {
    /// A file of this name in the folder, which is created.
    pub fn new(env: Env, dir: &Path, name: &str) -> std::io::Result<Self> {
        env.files.create_dir_all(dir)?;
        Ok(Self {
            env,
            path: dir.join(name),
        })
    }

    /// What the file holds; the default where there is none or it cannot be read.
    pub fn load<T: DeserializeOwned + Default>(&self) -> T {
        let bytes = match self.env.files.read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return T::default(),
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "alert state cannot be read");
                return T::default();
            }
        };
        match serde_json::from_slice::<Versioned<T>>(&bytes) {
            Ok(saved) if saved.version == VERSION => saved.data,
            Ok(saved) => {
                self.set_aside(&format!("format version {} is not known", saved.version));
                T::default()
            }
            Err(error) => {
                self.set_aside(&error.to_string());
                T::default()
            }
        }
    }

    fn set_aside(&self, reason: &str) {
        let aside = self.path.with_extension("json.unreadable");
        let path = self.path.display();
        tracing::error!(%path, reason, "alert state is damaged; it is set aside and starts anew");
        if let Err(error) = self.env.files.rename(&self.path, &aside) {
            tracing::error!(%path, %error, "damaged alert state cannot be set aside");
        }
    }

    /// Replaces the file durably, on a thread that may block.
    pub async fn save<T: Serialize>(&self, data: &T) -> std::io::Result<()> {
        let bytes = serde_json::to_vec(&Versioned {
            version: VERSION,
            data,
        })?;
        let file = self.clone();
        let write = move || file.env.files.write_atomic(&file.path, &bytes);
        tokio::task::spawn_blocking(write)
            .await
            .map_err(std::io::Error::other)?
    }
}
