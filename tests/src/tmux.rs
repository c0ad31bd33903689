//! A terminal to run the program in: tmux with a server of its own.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::{external, wait};

/// How long a screen may take to show something.
const DEADLINE: Duration = Duration::from_secs(30);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One terminal; gone when dropped.
pub struct Terminal {
    socket: String,
}

/// Whether tmux is there; says what is skipped if not.
pub fn available() -> bool {
    let found = external::works(Command::new("tmux").arg("-V"));
    if !found {
        external::missing("tmux");
    }
    found
}

impl Terminal {
    /// Runs a command in a terminal of this size.
    pub fn start(columns: u16, rows: u16, command: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let terminal = Self {
            socket: format!("test-{}-{number}", std::process::id()),
        };
        let quoted: Vec<String> = command.iter().map(|part| format!("'{part}'")).collect();
        // No configuration file: keys and colours as tmux has them. What a program prints as it
        // fails stays to be read.
        let shell = format!("{}; echo ended with $?; exec sleep 600", quoted.join(" "));
        external::output(
            terminal
                .tmux()
                .args(["-f", "/dev/null", "new-session", "-d", "-s", "main"])
                .args([
                    "-x",
                    &columns.to_string(),
                    "-y",
                    &rows.to_string(),
                    "sh",
                    "-c",
                    &shell,
                ]),
        );
        terminal
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        // UTF-8 whatever the locale of this machine is, and no session of the user's.
        command
            .arg("-u")
            .arg("-L")
            .arg(&self.socket)
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Presses keys, named as tmux names them.
    pub fn press(&self, keys: &[&str]) {
        external::output(self.tmux().args(["send-keys", "-t", "main"]).args(keys));
    }

    /// Types text as it is.
    pub fn write(&self, text: &str) {
        external::output(self.tmux().args(["send-keys", "-t", "main", "-l", text]));
    }

    /// What it shows.
    pub fn screen(&self) -> String {
        external::output(self.tmux().args(["capture-pane", "-p", "-t", "main"]))
    }

    /// Waits until it shows every one of these texts, and gives the screen.
    pub fn shows(&self, texts: &[&str]) -> String {
        let mut last = String::new();
        let begin = std::time::Instant::now();
        wait::until("the screen", DEADLINE + Duration::from_secs(5), || {
            last = self.screen();
            if texts.iter().all(|text| last.contains(text)) {
                return Some(last.clone());
            }
            assert!(
                begin.elapsed() < DEADLINE,
                "{texts:?} are not all on the screen:\n{last}"
            );
            None
        })
    }

    /// Changes its size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        external::output(self.tmux().args([
            "resize-window",
            "-t",
            "main",
            "-x",
            &columns,
            "-y",
            &rows,
        ]));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        external::works(self.tmux().arg("kill-server"));
    }
}
